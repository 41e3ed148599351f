#pragma once
// Cuts a byte stream into lines: the framing of messages and of captured output.

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>

namespace zeroth {

class LineSplitter {
 public:
  explicit LineSplitter(std::size_t max_line) : max_line_(max_line) {}

  // Adds bytes and calls `on_line` for each completed line, without its line feed. `on_line` returns false to stop:
  // what is left of `bytes` is then forgotten. Returns false if stopped or if a line grew past max_line.
  bool feed(std::string_view bytes, const std::function<bool(std::string_view)>& on_line);

  // What has come of the line that is not finished yet.
  const std::string& partial() const { return partial_; }
  void clear() { partial_.clear(); }

 private:
  std::size_t max_line_;
  std::string partial_;
};

}  // namespace zeroth
