#pragma once
// Whether the number of a generation is written down. Until then its alive file is all that tells that the number was
// used, and is kept; what was to be removed meanwhile is removed then. Any thread may call; each call may block as the
// disk does.

#include <mutex>
#include <string>
#include <vector>

namespace zeroth {

class NumberNote {
 public:
  NumberNote() = default;
  NumberNote(const NumberNote&) = delete;
  NumberNote& operator=(const NumberNote&) = delete;

  // The number, or a higher one, is on disk.
  void written();
  // Removes the file, now or when that is so.
  void remove(const std::string& path);

 private:
  std::mutex mutex_;
  bool written_ = false;
  std::vector<std::string> waiting_;
};

}  // namespace zeroth
