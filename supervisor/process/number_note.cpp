#include "supervisor/process/number_note.h"

#include <unistd.h>

namespace zeroth {

void NumberNote::written() {
  const std::lock_guard lock(mutex_);
  written_ = true;
  for (const std::string& path : waiting_) ::unlink(path.c_str());
  waiting_.clear();
}

void NumberNote::remove(const std::string& path) {
  const std::lock_guard lock(mutex_);
  if (written_) {
    ::unlink(path.c_str());
  } else {
    waiting_.push_back(path);
  }
}

}  // namespace zeroth
