#pragma once
// Who must be ready before whom. Pure: names in, names out.

#include <map>
#include <string>
#include <vector>

namespace zeroth {

// Worker -> what it depends on. Names that are no key have no say.
using Dependencies = std::map<std::string, std::vector<std::string>>;

// "a", "b", "a" if a depends on b and b on a; empty if there is no cycle.
std::vector<std::string> find_cycle(const Dependencies& dependencies);

// `names` so that each comes after what it depends on, otherwise as they are. There is no cycle.
std::vector<std::string> start_order(const std::vector<std::string>& names, const Dependencies& dependencies);

}  // namespace zeroth
