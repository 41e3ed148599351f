#include "worker/cli/arguments.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "common/text.h"

namespace zeroth {
namespace {

std::string quoted(std::string_view word) {
  return "'" + escape_control(word) + "'";
}

tl::unexpected<Error> unknown_option(std::string_view name, std::span<const Option> options) {
  std::vector<std::string_view> names;
  for (const Option& option : options) names.push_back(option.name);
  const std::string_view meant = nearest(name, names);
  return fail("unknown option " + quoted(name) + (meant.empty() ? "" : ", did you mean '" + std::string(meant) + "'?"));
}

}  // namespace

Result<Arguments> Arguments::parse(std::span<char* const> words, std::span<const Option> options,
                                   std::size_t max_positionals) {
  Arguments parsed;
  bool only_positionals = false;
  for (std::size_t i = 0; i < words.size(); ++i) {
    const std::string_view word = words[i];
    if (!only_positionals && word == "--") {
      only_positionals = true;
      continue;
    }
    if (only_positionals || word.size() < 2 || word[0] != '-') {
      if (parsed.positionals_.size() == max_positionals) return fail("unexpected argument " + quoted(word));
      parsed.positionals_.push_back(word);
      continue;
    }
    const std::size_t equals = word.find('=');
    const std::string_view name = word.substr(0, equals);
    const auto option = std::find_if(options.begin(), options.end(), [&](const Option& o) { return o.name == name; });
    if (option == options.end()) return unknown_option(name, options);
    std::string_view value;
    if (option->value_name.empty()) {
      if (equals != std::string_view::npos) return fail("option " + quoted(name) + " takes no value");
    } else if (equals != std::string_view::npos) {
      value = word.substr(equals + 1);
    } else if (i + 1 < words.size()) {
      value = words[++i];
    } else {
      return fail("option " + quoted(name) + " needs a value: " + std::string(option->name) + " " +
                  std::string(option->value_name));
    }
    if (!parsed.values_.emplace(option->name, value).second) return fail("option " + quoted(name) + " is given twice");
  }
  return parsed;
}

std::optional<std::string_view> Arguments::value(std::string_view option) const {
  const auto found = values_.find(option);
  if (found == values_.end()) return std::nullopt;
  return found->second;
}

Result<std::uint64_t> parse_count(std::string_view option, std::string_view text) {
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) {
    return fail(std::string(option) + ": " + quoted(text) + " is not a whole number");
  }
  return number;
}

Result<double> parse_real(std::string_view option, std::string_view text) {
  double number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size() || !std::isfinite(number)) {
    return fail(std::string(option) + ": " + quoted(text) + " is not a number");
  }
  return number;
}

}  // namespace zeroth
