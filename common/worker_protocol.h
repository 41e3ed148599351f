#pragma once
// What supervisor and worker say to each other on the channel ($ZEROTH_FD), protocol version 1: names of messages,
// environment variables, and the structures of the messages that have one. Both ends include only this.
//
// A worker that came through $ZEROTH_SOCKET is sent the lent sockets first, in the order of $LISTEN_FDNAMES: for each
// an event "sockets" with {"names":["http"]} whose bytes carry the descriptor (SCM_RIGHTS).
//
// Version history: 1 — hello loaded restore ready go drain checkpoint resume stop reexec call env ping save beat log.
//                  1, added — `migrate` in loaded: true, or a list of schemas, whose states the code turns into its
//                  own. A state of another schema is passed on only to code that announced it. restore.schema says
//                  which.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/json.h"
#include "common/result.h"

namespace zeroth {

inline constexpr int kWorkerProtocol = 1;

// Largest state that travels inside the reply to checkpoint or inside restore; larger ones go through a file.
inline constexpr std::size_t kInlineStateBytes = 64 * 1024;
inline constexpr std::size_t kInlineStateMembers = 1'000;

namespace env {
inline constexpr const char* kFd = "ZEROTH_FD";
inline constexpr const char* kSocket = "ZEROTH_SOCKET";
inline constexpr const char* kKey = "ZEROTH_KEY";
inline constexpr const char* kWorker = "ZEROTH_WORKER";
inline constexpr const char* kGeneration = "ZEROTH_GENERATION";
inline constexpr const char* kCause = "ZEROTH_CAUSE";
inline constexpr const char* kWorkerDir = "ZEROTH_WORKER_DIR";
inline constexpr const char* kEmergencyFile = "ZEROTH_EMERGENCY_FILE";
inline constexpr const char* kAlive = "ZEROTH_ALIVE";
inline constexpr const char* kChanged = "ZEROTH_CHANGED";
inline constexpr const char* kChangedMore = "ZEROTH_CHANGED_MORE";
}  // namespace env

// W→S event, first of all.
struct Hello {
  int protocol = kWorkerProtocol;
  std::string name;
  std::string version;
  std::int64_t pid = 0;
  std::string key;
};
Json to_json(const Hello& hello);
Result<Hello> parse_hello(const Json& data);

// What a worker can do; unknown names are ignored.
struct Capabilities {
  bool checkpoint = false, restore = false, hold = false, drain = false, call = false, env = false, reexec = false;
};
Json to_json(const Capabilities& capabilities);

// A command that a worker announces; `params` is shown by help: a JSON object of name -> description.
struct CommandInfo {
  std::string name;
  std::string help;
  Json params;
};

// Longest name of a schema, in bytes.
inline constexpr std::size_t kMaxSchema = 256;

// Which states of other schemas the code turns into its own: `migrate` in loaded.
struct Migration {
  bool any = false;               // true: every one
  std::vector<std::string> from;  // else these
  bool none() const { return !any && from.empty(); }
};

// Which states a code takes: those of its schema and those it migrates. A state or a code without a schema's name fits
// everything.
struct SchemaRule {
  std::string schema;
  Migration migrate;
  bool takes(std::string_view of_state) const;
  // Is it another, that is turned into the code's own?
  bool migrates(std::string_view of_state) const;
  // Why a state of this schema is not passed on, naming both: "the state has schema a, the code b and no migration".
  std::string refusal(std::string_view of_state) const;
};

// W→S event: all code is loaded, nothing outside has been touched.
struct Loaded {
  Capabilities capabilities;
  std::vector<CommandInfo> commands;
  std::string schema;
  Migration migrate;
  std::string program_path;
  std::string program_hash;
  Json initial;  // top-level default -> its JSON text (or hash); null if not announced
  SchemaRule takes() const { return {schema, migrate}; }
};
Json to_json(const Loaded& loaded);
Result<Loaded> parse_loaded(const Json& data);

// W→S event: able to go. May add to what `loaded` announced.
struct Ready {
  std::optional<Capabilities> capabilities;
  std::vector<CommandInfo> commands;
};
Result<Ready> parse_ready(const Json& data);

// A part of a file that holds a state: `length` bytes from `offset`.
struct StateFile {
  std::string path;
  std::uint64_t offset = 0;
  std::uint64_t length = 0;
};
Json to_json(const StateFile& file);
Result<StateFile> parse_state_file(const Json& value);

// S→W request `restore`, but for the state itself.
struct RestoreHead {
  std::uint64_t generation = 0;
  std::string cause;
  std::string schema;
  std::optional<StateFile> state_file;
  double age_s = 0;
  bool same_boot = true;
  std::uint64_t from_generation = 0;
  bool fresh = false;  // no state is asked for: what the worker finds elsewhere is none either
};
// One line with its line feed. `state` is JSON text or "" for none (then state_file or null counts).
std::string encode_restore(const Json& id, const RestoreHead& head, std::string_view state);
Result<RestoreHead> parse_restore_head(const Json& params);

// S→W request `reexec`: whoever is held becomes the next generation by execv. A success is not answered, the hello of
// the new code is it; a worker that finds the new code broken, or cannot exec, refuses and is held as before. What it
// finds may be in the refusal's data, {"diagnostics":[…]}.
struct ReexecOrder {
  std::uint64_t generation = 0;
  std::string cause;
  std::string emergency_file;
  std::string program;  // kept file to run; "" where the program runs from disk
  std::string changed;  // $ZEROTH_CHANGED
  std::uint64_t changed_more = 0;
};
Json to_json(const ReexecOrder& order);
Result<ReexecOrder> parse_reexec(const Json& params);

// How many, and the first 20 names.
struct NameCount {
  std::uint64_t count = 0;
  std::vector<std::string> names;
  static NameCount of(const std::vector<std::string>& all);
};

// The result of restore.
struct RestoreSummary {
  NameCount kept, added, removed, renamed;
  NameCount rewritten;  // top-level members of the state that are not what they were, by what the new code says
  std::vector<std::string> warnings;
  std::optional<std::uint64_t> iteration;  // of the restored state, from workers that count them
};
Json to_json(const RestoreSummary& report);
Result<RestoreSummary> parse_restore_summary(const Json& result);

// The result of checkpoint, but for an inline state's text.
struct CheckpointReply {
  std::optional<std::uint64_t> bytes;  // written into the offered file
  bool unchanged = false;
  std::optional<std::uint64_t> iteration;
  std::string schema;
  double pause_ms = 0;
};
Result<CheckpointReply> parse_checkpoint_reply(const Json& result);

// W→S event.
struct Beat {
  std::optional<std::uint64_t> iteration;
  Json metrics = Json::object();
  Json status;
};
Beat parse_beat(const Json& data);

}  // namespace zeroth
