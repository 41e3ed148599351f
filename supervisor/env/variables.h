#pragma once
// Environment variables by name: which are the supervisor's own, which a worker inherits, and what differs between what
// a process has and what it is to have. Pure but for inherited_variables().

#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "common/json.h"

namespace zeroth {

using EnvMap = std::map<std::string, std::string>;

// Ours, or set anew for each generation: no env file gives them to a worker.
bool is_own_variable(std::string_view name);

// What the supervisor was given and passes on.
EnvMap inherited_variables();

struct EnvChange {
  EnvMap set;                      // new, or of another value
  std::vector<std::string> unset;  // gone, by name
  bool empty() const { return set.empty() && unset.empty(); }
};

// From `had` to `wanted`, both what a worker has beyond `inherited`: one that goes returns to what is inherited, if it
// is. Of the `doubtful` nobody knows whether the process has them: they are told in any case.
EnvChange change_between(const EnvMap& had, const EnvMap& wanted, const EnvMap& inherited,
                         const std::set<std::string>& doubtful = {});

// {"set":[names],"unset":[names]}: values are nobody's business.
Json names_of(const EnvChange& change);

// `text` without these values, should it quote one: what a worker says of its environment is logged. Values of less
// than four bytes stay, they are in every text.
std::string without_values(std::string text, const EnvMap& values);

}  // namespace zeroth
