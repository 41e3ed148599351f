#pragma once
// One worker: what should run, what runs, and what follows when it changes, ends or is to stop. Owns everything that
// belongs to the worker for longer than a generation. One of many under Supervisor; knows no other worker, no terminal
// and no socket: it reports through its hooks and answers through callbacks.

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/loop/loop.h"
#include "supervisor/generation/hello_socket.h"
#include "supervisor/options.h"
#include "supervisor/process/listeners.h"
#include "supervisor/process/orphans.h"
#include "supervisor/process/output_log.h"
#include "supervisor/process/relapse_pace.h"
#include "supervisor/process/restart_policy.h"
#include "supervisor/reload/handover.h"
#include "supervisor/snapshot/generation_log.h"
#include "supervisor/snapshot/snapshot_store.h"
#include "supervisor/watch/tree.h"
#include "supervisor/worker/aim.h"
#include "supervisor/worker/call_router.h"
#include "supervisor/worker/candidate_check.h"
#include "supervisor/worker/checkpointer.h"
#include "supervisor/worker/content.h"
#include "supervisor/worker/env_work.h"
#include "supervisor/worker/final_stop.h"
#include "supervisor/worker/health_watch.h"
#include "supervisor/worker/heartbeat.h"
#include "supervisor/worker/log_writer.h"
#include "supervisor/worker/memory_watch.h"
#include "supervisor/worker/port_check.h"
#include "supervisor/worker/recovery.h"
#include "supervisor/worker/rollback_target.h"
#include "supervisor/worker/sidecar.h"

namespace zeroth {

enum class WorkerState {
  Starting,   // nobody is live yet; somebody is on the way
  Ready,      // live, also while a new generation merely starts
  Reloading,  // between checkpoint{hold} and go or resume
  Backoff,    // waits before the next try
  Failed,     // gave up, but for a late retry
  Finished,   // ended by itself and is not to be restarted
  Stopping,
  Stopped,
};
std::string_view to_string(WorkerState state);

class Worker {
 public:
  struct Setup {
    const Options* options = nullptr;  // outlives the worker
    std::string name, identity;
    std::vector<std::string> former;  // identities whose states are taken as well
    std::string folder;               // <state>/<worker>
    std::string fingerprint;          // of the configuration
    std::string worker_binary;        // zeroth-worker, for programs
    std::string cwd;                  // of a command
    std::shared_ptr<const WatchScope> scope;
    const std::vector<Listener>* listeners = nullptr;  // lent to every generation
    const EnvMap* env_file = nullptr;                  // what its env files say; outlives the worker, null: none
    Orphans* orphans = nullptr;
    std::shared_ptr<Starter> checks;                          // starts its health checks
    const std::optional<WorkerTerminal>* terminal = nullptr;  // of generations to come; null or none: pipes
    WorkerPlace place;                   // of its processes; with the socket of those that cannot use their channel
    std::shared_ptr<Exchange> exchange;  // if they are of another user, else null
    bool one_of_many = false;            // the supervisor goes on whatever becomes of it
    std::string start_cause = "start";
    std::shared_ptr<DiskWork> starts = nullptr;  // made by the worker
  };

  struct Hooks {
    std::function<void(std::string_view type, Json data)> emit;
    // Nothing runs and nothing is kept that could: the supervisor ends with this code. Not of one of many.
    std::function<void(int exit_code, const Receipt&)> on_start_failed;
    std::function<void()> on_gave_up;
    std::function<void()> on_generation;  // one was spawned, sent go, or is over
    std::function<void()> on_restart;     // somebody asked for one
  };

  using Reply = std::function<void(tl::expected<Json, Refusal>)>;

  struct ReloadRequest {
    std::string cause;   // edit start restart force rollback env unhealthy
    bool force = false;  // also if the content is the same
    std::vector<std::string> changed;
    MonotonicTime began = monotonic_now();
    Reply reply = {};  // gets the receipt; may be empty
    Aim aim = {};
    bool settled = true;  // else more may change: the candidate is started, and waits
    bool more = false;    // has changed since the candidate was started
  };

  struct EnvRequest {
    std::vector<std::string> files;  // that differ; none: somebody asks whether it has what they say
    MonotonicTime began = monotonic_now();
    Reply reply = {};  // gets the receipt; may be empty
  };

  struct RollbackRequest {
    RollbackWish wish;
    bool preview = false;  // only say what would be lost
    Reply reply;           // gets the receipt, or the preview
  };

  struct CheckRequest {
    std::string file;  // "": what is on disk
    std::size_t last;  // so many of the newest snapshots
    Reply reply;       // gets the report
  };

  struct StopOutcome {
    bool saved = true;  // or there was nothing to save
    std::string error;
    std::uint64_t sequence = 0;  // of the final snapshot, 0: none
    bool given_up = false;       // it runs on: its state could not be saved
    std::string hint;            // what can be done about that
  };

  Worker(Loop& loop, Setup setup, GenerationLog log, Hooks hooks);
  ~Worker();

  void start();
  // The content may have changed (an edit), or somebody wants a reload or restart.
  void reload(ReloadRequest request);
  // Its env files may say something else: told to the live one if it listens for that, else it is reloaded.
  void take_env(EnvRequest request);
  // To an earlier state, earlier code or both. Waits for a reload that is under way.
  void roll_back(RollbackRequest request);
  // Tries code on kept snapshots, beside whoever is live; one at a time.
  void check(CheckRequest request);
  // Whether a request for the code's own defaults of these keys can be met by what runs; the refusal names the nearest.
  tl::expected<void, Refusal> check_fresh_keys(const std::vector<std::string>& keys) const;
  // `insist`: stop it also if its state cannot be saved.
  void stop(bool insist, std::function<void(const StopOutcome&)> done);
  void kill_now();
  void checkpoint(const std::string& cause, Reply reply);
  void call(const std::string& command, const Json& params, std::optional<double> timestamp, CallRouter::Reply reply);

  // The size in Setup::terminal has changed.
  void resize();
  // Typed at the live generation, or at the next one if there is none or it is being replaced.
  void type(std::string bytes);

  const std::string& name() const { return setup_.name; }
  WorkerState state() const { return state_; }
  // As the last live generation announced them.
  const std::vector<CommandInfo>& commands() const { return commands_; }
  bool owns(pid_t pid) const;
  ReloadMode mode() const { return no_room_now() ? ReloadMode::Recreate : mode_; }
  SnapshotStore& snapshots() { return store_; }
  const GenerationLog& generations() const { return log_; }
  OutputLog& output() { return output_; }
  Json status() const;
  // The variables that it is to have of its own, and what of them the live one lacks.
  EnvMap own_env() const;
  EnvChange env_pending() const;
  // Since the state was last known to be what the newest snapshot holds; nullopt if there is none.
  std::optional<double> state_age_s() const;
  // What the next step depends on, for people: "tcp:8080 (Connection refused)", "a save"; "" if it is nothing to be
  // told.
  std::string waits_for() const;
  // The runtime folder may be cleared under us: worker.sock is made again if it is gone.
  void restore_hello_socket();
  // The state folder was taken away and is there again, empty.
  void restore_files();

 private:
  void on_recovered(Status recovered);
  void first_content(const Result<Content>& content);
  // Nothing runs and nothing is kept that could.
  void fail_start(int exit_code, const Receipt& receipt);

  // Starts without a live generation.
  void launch(const std::string& operation, const std::string& cause, Content content, bool kept_code,
              std::vector<std::string> changed = {});
  // The same with code that was live before: its kept copy is made sure of first.
  void launch_kept(const std::string& operation, const std::string& cause, const Content& content);
  void start_held_back(const Content& disk);
  void search_source();
  SearchOptions living_snapshots() const;
  RestoreSource linked_source(const Restorable& found);
  std::shared_ptr<void> link_guard(const StateFile& file);
  void tell_skipped(const Skipped& snapshot);
  // Reload of a live one.
  void on_content(ReloadRequest request, const Result<Content>& content);
  void read_again(Milliseconds after);
  void wait_for_room(Milliseconds after);
  bool may_begin_early();
  void begin_early(ReloadRequest request, const Content& content);
  bool is_as_before(const Content& content) const;
  void tell_handover(const ReloadRequest& request, const Content& content, bool known);
  void begin_reload(ReloadRequest request);
  void launch_reload(const ReloadRequest& request, const Content& content, bool kept_code);
  void answer_unchanged(const ReloadRequest& request);
  void decide_mode();
  std::string lacks_memory() const;
  bool no_room_now() const { return mode_ == ReloadMode::Overlap && live_ && !lacks_memory().empty(); }
  // Going back (worker_back.cpp).
  void resolve_rollback(const RollbackRequest& request, const std::vector<SnapshotEnvelope>& kept);
  void fetch_code(const RollbackRequest& request, const RollbackTarget& target, Aim aim);
  void fetch_state(const RollbackRequest& request, const RollbackTarget& target, Aim aim);
  void preview_rollback(const RollbackRequest& request, const RollbackTarget& target, const Aim& aim);
  Handover::ReplaceSource replacing_source();
  void put_newest_aside(Handover::SourceDone done);
  void choose_source(const RestoreSource& present, const Handover::SourceDone& done);
  void drop_keys(const RestoreSource& present, const Handover::SourceDone& done);
  void search_aimed_source();
  void pass_over_newest();
  void keep_begun_from();
  void drop_pin(std::uint64_t sequence, bool before);
  std::string unsaved_hint(bool uncut) const;
  std::string schema_hint(const Handover& attempt) const;
  bool pass_over_schema(const Handover& attempt);
  void finish_aim(Receipt& receipt);
  void on_aimed_start_failed(const Handover& attempt);
  // Its environment (worker_env.cpp).
  void settle_env();
  void settle_env_down();
  void send_env(const EnvChange& change, const EnvMap& wanted);
  void on_env_answer(Receipt receipt, const EnvChange& change, const EnvMap& wanted,
                     const tl::expected<Json, Refusal>& outcome);
  void reload_for_env();
  void on_env_reloaded(const tl::expected<Json, Refusal>& outcome);
  bool has_its_env() const;
  void answer_env(const tl::expected<Json, Refusal>& outcome);
  void answer_env_unchanged(const std::string& reason);
  void tell_env(const Json& receipt, std::string_view how);
  EnvMap env_to_start_with() const;
  Json env_difference(const Generation& candidate) const;
  // Checks (worker_check.cpp).
  void list_for_check(const Content& content, const std::string& file, std::size_t last);
  std::shared_ptr<Generation> make_checked(const Content& content, const std::string& file);
  void end_check(tl::expected<Json, Refusal> outcome);
  // What on disk is not to be started: its hash, "" if nothing is held back.
  std::string held_hash() const;
  bool holds_back(const ReloadRequest& request) const;
  bool rolls_back_by_itself() const;
  Json hold_back_now() const;
  bool begins_anew() const;
  SequenceRange put_aside_now() const;
  void release_if_changed();
  // Programs that do not speak, and ports that workers open themselves (worker_mute.cpp).
  void replace_mute(ReloadRequest request);
  void on_mute_replaced();
  void on_late_hello();
  void open_hello_socket();
  void on_own_port(const std::string& what);
  bool lost_a_port(const Handover& attempt) const;
  Handover::Hooks handover_hooks();
  std::shared_ptr<Generation> make_candidate();
  std::shared_ptr<Checkpoint> make_checkpoint(const std::shared_ptr<Generation>& generation, const std::string& cause);
  void bury(std::shared_ptr<Generation> generation);
  void on_cut();
  void write_live_line(const Generation& generation, const LogWriter::Done& done);
  void unwrite_live_line();
  void on_go(const std::shared_ptr<Generation>& generation, const Receipt& receipt);
  void on_go_answered();
  void on_resumed();
  void on_verdict(const Receipt& receipt);
  void on_handover_done(const std::vector<HandoverAction>& actions);
  void on_start_failed(const Handover& attempt);
  void note_rejected(const Receipt& receipt);
  void tell_rejection(bool stands);
  void restart_after(const std::shared_ptr<Handover>& finished, HandoverAction action);
  void take_pending();
  void type_early();
  bool is_dying(const Generation* generation) const;
  Generation::Hooks live_hooks(const std::shared_ptr<Generation>& generation);
  void on_live_end();
  void crashed(const std::shared_ptr<Generation>& ended, const std::string& meaning);
  Json crash_json(const std::string& meaning) const;
  void follow(const Decision& decision, const std::string& meaning);
  void give_up(Json crash, const char* phase, const std::string& reason, const std::string& hint);
  void restart_later(Milliseconds after);
  std::string crash_cause() const;
  bool set_aside_snapshot(const Handover& attempt);
  bool go_on_after_refused_edit(const Handover& attempt);
  // Health (worker_health.cpp).
  void watch_health();
  void pause_health();
  void on_silent();
  void on_too_large(std::uint64_t bytes);
  void on_unwell(const std::string& reason);
  void tell_unwell(const std::string& what) const;
  void kill_unwell(const std::string& reason);
  bool give_up_unwell(const Handover& finished);
  void count_verdict(Receipt& receipt);
  void finish_stop(const FinalStop::Outcome& outcome);
  void go_on_after_refused_stop();
  void begin_stop(std::shared_ptr<Generation> generation, std::shared_ptr<Checkpoint> cut);
  void set_state(WorkerState state);
  void emit(std::string_view type, Json data) const;

  Loop& loop_;
  Setup setup_;
  Hooks hooks_;
  GenerationLog log_;
  LogWriter log_writer_;
  Losses losses_;
  SnapshotStore store_;
  ContentReader content_;
  OutputLog output_;
  RestartPolicy policy_;
  CallRouter router_;
  Checkpointer checkpointer_;
  Heartbeat heartbeat_;
  HealthWatch health_;
  MemoryWatch memory_;
  RelapsePace pace_;
  Sidecar sidecar_;
  PortCheck port_check_;
  std::unique_ptr<HelloSocket> hello_socket_;
  std::unique_ptr<Recovery> recovery_;
  Timer restart_timer_;
  Timer rejection_timer_;
  Timer reread_timer_;
  Milliseconds room_wait_{0};  // before the next try of an edit that the disk had no room for

  WorkerState state_ = WorkerState::Starting;
  ReloadMode mode_ = ReloadMode::Auto;
  std::string mode_reason_;
  std::shared_ptr<Generation> live_;
  std::vector<std::shared_ptr<Generation>> dying_;
  std::unique_ptr<Handover> handover_;
  std::unique_ptr<FinalStop> final_stop_;
  std::vector<std::function<void(const StopOutcome&)>> stop_waiting_;
  bool stop_insists_ = false;

  std::optional<Content> current_;      // of the live generation, or of the last one
  std::optional<Content> previous_;     // live before the last reload: what a rollback runs
  std::optional<Content> newest_;       // as the disk was last read
  std::optional<Content> target_;       // of the candidate
  bool runs_kept_code_ = false;         // of the hand-over under way
  Aim aim_;                             // of the hand-over under way
  std::uint64_t pinned_ = 0;            // what it put aside
  bool pinned_before_ = false;          // not by it
  std::uint64_t passed_over_told_ = 0;  // snapshot that --fresh passed over, once said
  std::optional<std::uint64_t> iteration_before_aim_;
  std::string passed_over_;  // hash of the disk's content when a rollback to other code began
  bool first_start_ = true;
  bool starts_fresh_ = false;
  bool second_try_ = false;
  std::optional<ReloadRequest> replacing_;        // a mute one is being stopped for this
  bool stopped_for_successor_ = false;            // the one before ran; its code is not kept
  WorkerState down_state_ = WorkerState::Failed;  // when a start was asked for and nobody was live
  std::optional<MonotonicTime> next_try_;         // of `backoff` and `failed`
  std::shared_ptr<Generation> spoke_late_;        // to be the next candidate
  std::string typed_early_;                       // while nobody was to read it
  std::string unwell_;                            // why the live one is being replaced or killed; "" if it is well
  bool wait_told_ = false;                        // that it is unwell again, and is not replaced yet
  std::string own_port_;                          // "python3 opens port 3000 itself"; "" if none is known
  std::string failed_hash_;  // content that did not make it: not tried again until it changes or somebody asks
  std::optional<LiveGeneration> live_before_go_;
  bool line_before_go_ = false;       // the last `live` line is of a candidate that was not sent go yet
  std::optional<Content> before_go_;  // current_ and previous_ as they were before the last go
  std::optional<Content> previous_before_go_;
  std::shared_ptr<Generation> lost_old_;  // ended during the hand-over under way
  std::string unread_;                    // why the content could not be read; it is tried again
  std::uint64_t search_before_ = kMaxSequence + 1;
  std::optional<SchemaRule> search_takes_;  // of kept code that refused a newer one for its schema
  std::string source_hash_;                 // program that wrote the snapshot being restored
  std::uint64_t source_sequence_ = 0;
  std::uint64_t suspect_ = 0;               // snapshot that the code that wrote it has failed on once
  std::shared_ptr<Checkpoint> saving_cut_;  // is made durable before anything else starts
  std::vector<Reply> replies_;              // wait for the verdict under way
  std::vector<RollbackRequest> rollbacks_waiting_;
  std::vector<ReloadRequest> pending_;  // wait for the hand-over to end

  EnvWork env_;

  std::vector<CommandInfo> commands_;
  std::optional<std::uint64_t> last_iteration_;
  std::optional<std::uint64_t> iteration_at_end_;  // last known when the last live generation ended by itself
  bool checking_ = false;
  Reply check_reply_;
  std::unique_ptr<CandidateCheck> check_;
  Json initial_;                           // defaults that the live code announced
  Json changed_defaults_ = Json::array();  // by the last go
  Json last_reload_;
  Json last_exit_;
  Json last_failure_;
  Json rejected_;
  Json untold_;  // receipt of a rejection that is told when the content has stood still
  std::optional<MonotonicTime> rejected_at_;
  std::uint64_t restarts_ = 0;
  std::map<std::string, std::uint64_t> verdicts_;  // how often each was given
  std::shared_ptr<void> alive_ = std::make_shared<int>();
};

}  // namespace zeroth
