#pragma once
// Which of a worker's two outputs.

#include <string_view>

namespace zeroth {

enum class OutputStream { Stdout, Stderr };

inline std::string_view to_string(OutputStream stream) {
  return stream == OutputStream::Stdout ? "stdout" : "stderr";
}

}  // namespace zeroth
