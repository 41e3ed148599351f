#pragma once
// The worker protocol as one table: what each rule demands and how it is tried on a fresh process.

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/worker_protocol.h"
#include "worker/conformance/subject.h"

namespace zeroth::conformance {

enum class Outcome { Ok, Fail, Skip };

struct Finding {
  Outcome outcome = Outcome::Ok;
  std::string detail;
};
inline Finding ok(std::string detail = "") {
  return {Outcome::Ok, std::move(detail)};
}
inline Finding broken(std::string detail) {
  return {Outcome::Fail, std::move(detail)};
}
inline Finding skip(std::string detail) {
  return {Outcome::Skip, std::move(detail)};
}

// How far a process is taken before a rule is tried.
enum class Stage { Spawned, Hello, Loaded, Restored, Ready, Live };

// Makes processes and remembers what the worker announced.
class Bench {
 public:
  Bench(std::vector<std::string> command, std::string folder)
      : command_(std::move(command)), folder_(std::move(folder)) {}

  // A fresh process at `stage`, restored from `state` (JSON text, or "" for a fresh start).
  Result<Subject> start(Stage stage, std::string_view state = "");
  // The same, restored from a part of a file.
  Result<Subject> start_from_file(const StateFile& file, const std::string& schema);

  // Set by the rule about `loaded`; the rules behind it are tried only if it held.
  std::optional<Loaded> loaded;

  const std::string& folder() const { return folder_; }

  // What the last process wrote to stdout and stderr.
  std::string last_output() const;

 private:
  Result<Subject> start_restored(Stage stage, const std::string& restore_line);

  std::vector<std::string> command_;
  std::string folder_;
  int started_ = 0;
};

struct Rule {
  std::string_view name;
  std::string_view demands;
  Stage needs;  // Hello or Loaded: a worker that does not get so far is not tried; Spawned for those who find that out
  Finding (*check)(Bench& bench);
};

std::span<const Rule> start_rules();    // hello to go
std::span<const Rule> request_rules();  // requests while live
std::span<const Rule> cut_rules();      // checkpoint, hold, resume, restore
std::span<const Rule> exec_rules();     // reexec
std::span<const Rule> end_rules();      // stop, the end of the channel, nonsense

}  // namespace zeroth::conformance
