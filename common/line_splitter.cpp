#include "common/line_splitter.h"

#include <utility>

namespace zeroth {

bool LineSplitter::feed(std::string_view bytes, const std::function<bool(std::string_view)>& on_line) {
  while (!bytes.empty()) {
    const std::size_t end = bytes.find('\n');
    if (end == std::string_view::npos) {
      partial_.append(bytes);
      return partial_.size() <= max_line_;
    }
    if (partial_.size() + end > max_line_) return false;
    if (partial_.empty()) {
      if (!on_line(bytes.substr(0, end))) return false;
    } else {
      partial_.append(bytes.substr(0, end));
      const std::string line = std::exchange(partial_, {});
      if (!on_line(line)) return false;
    }
    bytes.remove_prefix(end + 1);
  }
  return true;
}

}  // namespace zeroth
