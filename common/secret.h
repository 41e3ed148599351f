#pragma once
// Random secrets as text, and comparing one without telling by the time it takes how much of it was right.

#include <cstddef>
#include <string>
#include <string_view>

namespace zeroth {

// This many random bytes of the kernel's as lower-case hex digits, two a byte; "" if the kernel gives none.
std::string random_secret(std::size_t bytes);

// Takes as long wherever the two differ; only a different length shows.
bool same_secret(std::string_view given, std::string_view secret);

}  // namespace zeroth
