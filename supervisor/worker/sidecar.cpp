#include "supervisor/worker/sidecar.h"

#include <cstdlib>
#include <utility>

#include "common/files.h"
#include "common/text.h"

namespace zeroth {

Sidecar::Sidecar(Loop& loop, std::string worker_binary, const std::string& program, bool enabled,
                 std::function<void(const std::string&)> on_note)
    : loop_(loop), starter_(loop), worker_binary_(std::move(worker_binary)), on_note_(std::move(on_note)) {
  constexpr std::string_view kSuffix = ".zero";
  enabled_ = enabled && program.ends_with(kSuffix);
  if (enabled_) output_ = program.substr(0, program.size() - kSuffix.size()) + ".z";
}

Sidecar::~Sidecar() {
  if (!child_) return;
  child_.reset();
  remove_dead_temporaries(folder_of(output_), name_of(output_));
}

void Sidecar::write(const std::string& copy) {
  if (!enabled_) return;
  if (child_ || starter_.busy()) {
    next_ = copy;
    return;
  }
  SpawnRequest request;
  request.argv = {worker_binary_, "compile", copy, output_};
  said_.clear();
  Child::Hooks hooks;
  hooks.on_output = [this](OutputStream, std::string_view bytes) {
    if (said_.size() < 1024) said_.append(bytes.substr(0, 1024));
  };
  hooks.on_exit = [this](const ExitInfo& exit) {
    loop_.post([finished = std::shared_ptr<Child>(std::move(child_))] {});
    while (!said_.empty() && said_.back() == '\n') said_.pop_back();
    if (exit.code != 0) warn(escape_control(said_.empty() ? exit.meaning : said_));
    if (!next_.empty()) write(std::exchange(next_, ""));
  };
  const Status begun = starter_.start(std::move(request), std::move(hooks), [this](auto child) {
    if (child) {
      child_ = std::move(*child);
    } else {
      warn(child.error().message);
      if (!next_.empty()) write(std::exchange(next_, ""));
    }
  });
  if (!begun) warn(begun.error().message);
}

void Sidecar::warn(const std::string& why) {
  if (!std::exchange(warned_, true)) on_note_("no " + output_ + ": " + why);
}

}  // namespace zeroth
