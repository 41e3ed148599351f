#include "common/json_fields.h"

namespace zeroth {
namespace {

template <class T>
bool read(const Json& value, T& out);

template <>
bool read(const Json& value, bool& out) {
  if (!value.is_boolean()) return false;
  out = value.get<bool>();
  return true;
}
template <>
bool read(const Json& value, std::int64_t& out) {
  if (!value.is_number_integer()) return false;
  if (value.is_number_unsigned() && value.get<std::uint64_t>() > static_cast<std::uint64_t>(INT64_MAX)) return false;
  out = value.get<std::int64_t>();
  return true;
}
template <>
bool read(const Json& value, std::uint64_t& out) {
  if (!value.is_number_integer()) return false;
  if (!value.is_number_unsigned() && value.get<std::int64_t>() < 0) return false;
  out = value.get<std::uint64_t>();
  return true;
}
template <>
bool read(const Json& value, double& out) {
  if (!value.is_number()) return false;
  out = value.get<double>();
  return true;
}
template <>
bool read(const Json& value, std::string& out) {
  if (!value.is_string()) return false;
  out = value.get_ref<const std::string&>();
  return true;
}
template <>
bool read(const Json& value, std::vector<std::string>& out) {
  if (!value.is_array()) return false;
  for (const Json& element : value) {
    if (!element.is_string()) return false;
    out.push_back(element.get_ref<const std::string&>());
  }
  return true;
}

template <class T>
constexpr const char* kExpected = "";
template <>
constexpr const char* kExpected<bool> = "true or false";
template <>
constexpr const char* kExpected<std::int64_t> = "a whole number";
template <>
constexpr const char* kExpected<std::uint64_t> = "a whole number that is not negative";
template <>
constexpr const char* kExpected<double> = "a number";
template <>
constexpr const char* kExpected<std::string> = "a string";
template <>
constexpr const char* kExpected<std::vector<std::string>> = "an array of strings";

}  // namespace

const Json* find_member(const Json& object, std::string_view name) {
  if (!object.is_object()) return nullptr;
  const auto found = object.find(name);
  return found == object.end() ? nullptr : &*found;
}

template <class T>
Result<std::optional<T>> optional_field(const Json& object, std::string_view name) {
  const Json* member = find_member(object, name);
  if (member == nullptr || member->is_null()) return std::optional<T>();
  T value{};
  if (!read(*member, value)) return fail(std::string(name) + ": expected " + kExpected<T>);
  return std::optional<T>(std::move(value));
}

template Result<std::optional<bool>> optional_field(const Json&, std::string_view);
template Result<std::optional<std::int64_t>> optional_field(const Json&, std::string_view);
template Result<std::optional<std::uint64_t>> optional_field(const Json&, std::string_view);
template Result<std::optional<double>> optional_field(const Json&, std::string_view);
template Result<std::optional<std::string>> optional_field(const Json&, std::string_view);
template Result<std::optional<std::vector<std::string>>> optional_field(const Json&, std::string_view);

}  // namespace zeroth
