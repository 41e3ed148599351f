#pragma once
// The project's JSON value: nlohmann's, members in the order they were written.

#include <nlohmann/json.hpp>
#include <string>

// Instantiated once, in json.cpp: it is a fifth of what a file that uses it costs to compile.
extern template class nlohmann::basic_json<nlohmann::ordered_map>;

namespace zeroth {

using Json = nlohmann::ordered_json;

// Compact text; bytes that are not UTF-8 become U+FFFD (a worker may have put them there), so it never throws.
inline std::string dump(const Json& value) {
  return value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace zeroth
