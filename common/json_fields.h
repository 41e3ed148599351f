#pragma once
// Typed reading of members of a JSON object, with an error that names the member. The only place that touches
// nlohmann's throwing accessors.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/json.h"
#include "common/result.h"

namespace zeroth {

// The member, or null if `object` is no object or has none.
const Json* find_member(const Json& object, std::string_view name);

// Value of an optional member: absent or null gives nullopt; another type fails with "limit: expected a whole number".
// T is bool, std::int64_t, std::uint64_t, double, std::string or std::vector<std::string>.
template <class T>
Result<std::optional<T>> optional_field(const Json& object, std::string_view name);

// The same, absent is an error.
template <class T>
Result<T> required_field(const Json& object, std::string_view name) {
  auto value = optional_field<T>(object, name);
  if (!value) return fail(std::move(value.error()));
  if (!*value) return fail(std::string(name) + ": missing");
  return std::move(**value);
}

// The member if it is there and of type T, else `fallback`: for what is shown, never for what is decided.
template <class T>
T field_or(const Json& object, std::string_view name, T fallback) {
  auto value = optional_field<T>(object, name);
  return value && *value ? std::move(**value) : std::move(fallback);
}

}  // namespace zeroth
