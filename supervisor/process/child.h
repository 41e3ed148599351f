#pragma once
// One process of ours from spawn to reaping: its output, its signals, its end. Owned by whoever runs a generation (or a
// health probe); lives on the loop's thread.

#include <sys/types.h>

#include <bitset>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "common/loop/loop.h"
#include "common/loop/stream.h"
#include "supervisor/process/output_stream.h"
#include "supervisor/process/spawn.h"

namespace zeroth {

struct ExitInfo {
  std::optional<int> code;  // if it exited
  int signal = 0;           // if it was killed
  bool core = false;
  bool by_us = false;   // killed by a signal that we had sent it
  std::string meaning;  // "exited with code 3", "killed by SIGSEGV (core dumped)"
  std::chrono::microseconds user_time{}, system_time{};
  std::uint64_t max_rss_kib = 0;
};

class Child {
 public:
  struct Hooks {
    // Bytes are valid during the call.
    std::function<void(OutputStream, std::string_view)> on_output;
    // Once, after the process is reaped and all output it left in the pipes has been delivered.
    std::function<void(const ExitInfo&)> on_exit;
    bool kill_group_at_exit = true;  // what is left of its process group when it ends
  };

  // Every hook may destroy the Child. Fails as spawn() does; then no hook is called.
  static Result<std::unique_ptr<Child>> start(Loop& loop, const SpawnRequest& request, Hooks hooks);
  // The same of one that spawn() has started, be it on another thread.
  static std::unique_ptr<Child> adopt(Loop& loop, Spawned spawned, const SpawnRequest& request, Hooks hooks);
  // Kills and reaps a process that still runs, with its group; on_exit is not called.
  ~Child();
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  // From now on; of the next owner.
  void set_hooks(Hooks hooks) { hooks_ = std::move(hooks); }
  // Its file in SpawnRequest::alive_file is given another name, if that can be, as that of another generation.
  void rename_alive_file(const std::string& path, std::shared_ptr<NumberNote> number);

  pid_t pid() const { return pid_; }
  // Not reaped yet: the pid is certainly its.
  bool running() const { return !reaped_; }

  // To the process alone. ESRCH if it is gone.
  Status signal(int number);
  // To its process group. ESRCH once it is reaped: the number might be another's by then.
  Status signal_group(int number);

  // The terminal it was given has another size now. Nothing happens if it has none.
  void resize(TerminalSize size);
  // Types at a terminal that is its stdin; what it does not read for long is dropped.
  void type(std::string bytes);

 private:
  Child(Loop& loop, Spawned spawned, Hooks hooks, const SpawnRequest& request);
  void on_dead();
  bool drain(const std::unique_ptr<Stream>& stream, OutputStream which);
  ExitInfo reap();
  bool is_ours() const;

  // Its alive file, which is renamed and removed on the pool: its disk may hang.
  struct AliveFile;

  Loop& loop_;
  pid_t pid_;
  UniqueFd pidfd_;
  FdWatch watch_;
  std::unique_ptr<Stream> out_, err_;  // no err_ if one terminal serves for both
  const bool on_terminal_;
  Hooks hooks_;
  const bool has_alive_file_;
  std::shared_ptr<AliveFile> alive_file_;
  std::uint64_t oom_kills_;  // of the machine, when it began
  std::bitset<65> sent_;
  bool reaped_ = false;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

// "killed by SIGKILL", "exited with code 3", "exited with code 127 (of a shell: a command that was not found)".
// `oom`: the kernel killed somebody for lack of memory meanwhile.
std::string exit_meaning(std::optional<int> code, int signal, bool core, bool oom = false);

}  // namespace zeroth
