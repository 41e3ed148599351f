#pragma once
// A shell script that counts in the file $ZEROTH_STATE_FILE, step by step as a test tells it by files beside that one.

#include <doctest/doctest.h>
#include <poll.h>

#include <filesystem>
#include <string>

#include "common/clock.h"
#include "tests/support/control_client.h"
#include "tests/support/temp_dir.h"

namespace zeroth::scenario {

// Counts when the file `tick` is there, saves when `save` is, does once what `do` contains; each is removed then.
inline std::string counter(int step, const std::string& head = "") {
  return head + "step=" + std::to_string(step) + "\n" +
         R"(dir=${ZEROTH_STATE_FILE%/*}
save() { echo "$count" > "$ZEROTH_STATE_FILE.new"; mv "$ZEROTH_STATE_FILE.new" "$ZEROTH_STATE_FILE"; }
count=0
[ ! -e "$ZEROTH_STATE_FILE" ] || read -r count < "$ZEROTH_STATE_FILE"
while :; do
  if [ -e "$dir/do" ]; then mv "$dir/do" "$dir/doing"; . "$dir/doing"; rm "$dir/doing"; fi
  if [ -e "$dir/save" ]; then save; rm "$dir/save"; fi
  if [ -e "$dir/tick" ]; then count=$((count + step)); [ -n "$rare" ] || save; rm "$dir/tick"; fi
  sleep 0.01
done
)";
}

// Of one that saves only when it is asked to, by USR1 or by `save`.
constexpr const char* kRarely = "rare=yes\ntrap save USR1\n";
// The same, and asks are in vain.
constexpr const char* kInVain = "rare=yes\ntrap : USR1\n";

inline void tell(const TempDir& dir, const std::string& name, const std::string& content = "") {
  dir.write(name + ".new", content);
  std::filesystem::rename(dir.path(name + ".new"), dir.path(name));
}

inline void wait_gone(const TempDir& dir, const std::string& name) {
  const MonotonicTime until = monotonic_now() + kPatience;
  while (std::filesystem::exists(dir.path(name))) {
    REQUIRE_MESSAGE(monotonic_now() < until, name, " was not taken");
    ::poll(nullptr, 0, 2);
  }
}

// Until what `do` contained is done.
inline void wait_done(const TempDir& dir) {
  wait_gone(dir, "do");
  wait_gone(dir, "doing");
}

inline void tick(const TempDir& dir) {
  tell(dir, "tick");
  wait_gone(dir, "tick");
}

}  // namespace zeroth::scenario
