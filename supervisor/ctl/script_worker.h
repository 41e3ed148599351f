#pragma once
// Holds the worker channel for a program that does not speak, whose state is a file: the command of `zerothctl worker
// run`. The command runs from `go`; a hold ends it with TERM, so that what it saves then is in the cut, and a resume
// starts it again with what it saved. Its end is ours, once the supervisor has its file.

#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/clock.h"
#include "common/file_state.h"
#include "common/line_splitter.h"
#include "common/message.h"
#include "common/save_watch.h"
#include "common/unique_fd.h"
#include "common/worker_protocol.h"
#include "supervisor/ctl/script_process.h"
#include "supervisor/ctl/state_place.h"

namespace zeroth {

struct ScriptPlan {
  std::string file;           // absolute
  std::optional<int> signal;  // asks the command to save
  std::string save;           // the same by a command for sh; neither: the file is always right
  std::vector<std::string> command;
};

// What the command and its helpers have besides our environment; "" removes a variable: the channel is ours.
std::vector<std::pair<std::string, std::string>> environment_of(const ScriptPlan& plan);

class ScriptWorker {
 public:
  // `signals`: a signalfd of what is passed on, and of SIGCHLD. `key`: for hello, if the channel was connected.
  ScriptWorker(ScriptPlan plan, UniqueFd channel, UniqueFd signals, std::string key);

  // Until the end; the status to end with, as of waitpid().
  int run();

 private:
  enum class Stage {
    Loaded,    // waits for restore
    Restored,  // the state lies beside the file; waits for go
    Live,      // the command runs, or is about to
    Held,      // the command has ended for a cut
    Ended,     // by itself; the supervisor is asked to take the file
    Stopping,  // it was told to end for good
  };
  // A checkpoint that is not answered yet.
  struct Pending {
    enum class Step { Asking, Saving, Ending, Reading };
    Json id;
    bool hold = false, durable = false;
    std::optional<StateFile> file;
    Step step = Step::Reading;
    MonotonicTime began{}, until{}, look_at{};  // `until`: of this step
    Milliseconds deadline{};
  };

  void say_hello();
  void read_channel();
  void read_signals();
  void on_time();
  int timeout_ms() const;
  void send(std::string_view line);
  void tell(const std::string& level, const std::string& message);

  void on_line(std::string_view line);
  bool must_wait(const Request& request) const;
  void on_request(const Request& request, std::string_view line);
  void on_restore(const Request& request, std::string_view line);
  void on_go(const Request& request);
  void on_resume(const Request& request);
  void on_stop(const Request& request);
  void take_waiting();
  void refuse(const Json& id, ErrorCode code, const std::string& message, const std::string& hint = "");
  void answer(const Json& id, const Json& result) { send(encode_result(id, result)); }

  // Checkpoints (script_checkpoint.cpp).
  void on_checkpoint(const Request& request);
  void on_pending_time();
  void ask_to_save();
  void run_save();
  void on_save_ended(int status);
  void look_again(const Error& why, Milliseconds after);
  void drop_save();
  void after_saving();
  void end_for_cut();
  void read_state();
  Result<Json> encoded();
  void finish_checkpoint(const Result<Json>& result);

  void start_if_due();
  void end_command();
  void on_ended(int status);
  // Asks for one last checkpoint of the file, once.
  void ask_to_take();
  void on_channel_end();
  void finish(int status);

  const ScriptPlan plan_;
  StatePlace place_;
  const UniqueFd channel_, signals_;
  const std::string key_;
  LineSplitter lines_;
  std::deque<std::string> waiting_;
  Stage stage_ = Stage::Loaded;
  std::optional<ScriptProcess> command_;
  bool start_due_ = false;
  std::optional<Pending> pending_;
  std::optional<SaveWatch> watch_;
  std::optional<ScriptProcess> save_;        // the command that has it saved
  SeenFile read_;                            // of the file, when it was last read
  std::optional<SeenFile> answered_;         // the same, as the supervisor was last given it
  std::optional<MonotonicTime> kill_at_;     // of a command that was told to end
  std::optional<MonotonicTime> give_up_at_;  // waiting for the supervisor to take the file
  std::optional<Json> stop_id_;
  bool asked_to_take_ = false;
  int ended_with_ = 0;
  std::optional<int> status_;
};

}  // namespace zeroth
