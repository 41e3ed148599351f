#pragma once
// The worker's own command line: one table of options per verb. (zeroth-supervise and zerothctl use CLI11; the worker's
// start is on the reload path, so it stays without it.)

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "common/result.h"

namespace zeroth {

struct Option {
  std::string_view name;        // with its dashes, e.g. "--iterations"
  std::string_view value_name;  // e.g. "N"; empty for a flag
  std::string_view help;
};

// The words of one call. Views point into argv.
class Arguments {
 public:
  // Accepts `--name value`, `--name=value`, flags, positionals and `--` before positionals that begin with a dash.
  // Fails on an unknown option (naming the nearest), a missing value, a flag with a value, an option given twice, or
  // more than `max_positionals` positionals.
  static Result<Arguments> parse(std::span<char* const> words, std::span<const Option> options,
                                 std::size_t max_positionals);

  bool has(std::string_view option) const { return values_.count(option) != 0; }
  std::optional<std::string_view> value(std::string_view option) const;
  const std::vector<std::string_view>& positionals() const { return positionals_; }

 private:
  std::map<std::string_view, std::string_view> values_;
  std::vector<std::string_view> positionals_;
};

// Numbers as options give them: the whole text must be one; the error names the option.
Result<std::uint64_t> parse_count(std::string_view option, std::string_view text);
// Finite double.
Result<double> parse_real(std::string_view option, std::string_view text);

}  // namespace zeroth
