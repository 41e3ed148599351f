#include "supervisor/worker/port_check.h"

#include <sys/stat.h>

#include <optional>
#include <utility>

#include "common/clock.h"
#include "supervisor/process/open_sockets.h"

namespace zeroth {
namespace {

constexpr Milliseconds kAfterGo{1'000};  // time to open it

}  // namespace

void PortCheck::begin(pid_t group, std::vector<int> lent) {
  cancel();
  timer_.start(kAfterGo, [this, group, lent = std::move(lent)] { look(group, lent); });
}

void PortCheck::cancel() {
  timer_.stop();
  round_.reset();
}

void PortCheck::look(pid_t group, const std::vector<int>& lent) {
  std::vector<ino_t> known;
  for (const int fd : lent) {
    struct stat info {};
    if (::fstat(fd, &info) == 0) known.push_back(info.st_ino);
  }
  round_ = std::make_shared<int>();
  const auto found = std::make_shared<std::optional<OwnPort>>();
  loop_.in_pool([found, group, known = std::move(known)] { *found = own_port_of(group, known); }, round_,
                [this, found] {
                  if (*found)
                    on_found_((*found)->process + " opens port " + std::to_string((*found)->port) + " itself");
                });
}

}  // namespace zeroth
