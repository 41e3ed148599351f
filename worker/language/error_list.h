#pragma once
// The first errors of a source text, however many there are and in whatever order the parser comes upon them.

#include <cstdint>
#include <string_view>
#include <vector>

#include "common/diagnostic.h"

namespace zeroth {

class ErrorList {
 public:
  // Keeps the `capacity` (at least 1) errors nearest to the beginning of `source`.
  ErrorList(std::string_view source, std::size_t capacity) : source_(source), capacity_(capacity) {}

  // Makes an error at `place`, a view into the source on line number `line`. The caller words it, before the next call;
  // null if enough errors lie in front of it, so that nobody composes words in vain.
  Diagnostic* add(std::uint32_t line, std::string_view place);

  bool empty() const { return errors_.empty(); }
  // In order of position; errors at the same place in the order they were added.
  Diagnostics take() &&;

 private:
  struct Entry {
    const char* at;
    Diagnostic diagnostic;
  };

  std::string_view source_;
  std::size_t capacity_;
  std::vector<Entry> errors_;
};

}  // namespace zeroth
