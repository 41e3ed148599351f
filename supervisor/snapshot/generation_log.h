#pragma once
// `<state>/<worker>/generations.jsonl`: one line for each spawn, each go and each receipt, so that generation numbers
// never repeat and the next supervisor knows what was live when this one was killed.
//
//   {"event":"spawned","generation":7,"program_hash":"…","cause":"edit"}
//   {"event":"live","generation":7,"pid":4711,"schema":"zeroth-vm/1","identity":"…","program_hash":"…",
//    "put_aside":{"after":5,"to":20},"anew":true,"held_back":{"hash":"…","since":"…","generation":5}}      both may be
//    null
//   {"event":"released"}                                          the code on disk is not held back any more
//   {"event":"receipt","receipt":{…}}
//   {"event":"rotated","generation":7,"sequence":12}     first line of a new file, so that it can stand alone
//
// What is told counts in memory at once; its line is a piece of work for LogWriter. A line is one write(2) with
// O_APPEND: it survives the death of this process once it ran, and a power cut once `sync_job` ran after it.

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "common/json.h"
#include "common/result.h"
#include "supervisor/snapshot/line_file.h"
#include "supervisor/snapshot/snapshot_search.h"

namespace zeroth {

struct LiveGeneration {
  std::uint64_t generation = 0;
  std::int64_t pid = 0;
  std::string schema;
  std::string identity;
  std::string program_hash = "";
  bool speaks = true;  // said hello
  // Snapshots that a rollback or a fresh start left behind: never gone on from by itself. Carried from line to line.
  SequenceRange put_aside = {};
  bool anew = false;         // this one began that: it was not restored from the living state
  Json held_back = nullptr;  // code on disk that was passed over for this one; null: none
};

class GenerationLog {
 public:
  // Writes one line, or what stands for it. Blocks as the disk does. Run each once, in the order they were given, one
  // at a time; it may outlive the log.
  using Line = std::function<Status()>;

  // Reads what is there (up to 20 MB) and opens it for appending; lines that cannot be read are passed over and
  // counted. The log may be lost or damaged: numbers are also learnt from the newest snapshots and from the names of
  // the files that generations leave behind. Blocks: call it before the loop runs, or on the pool.
  static Result<GenerationLog> open(const std::string& worker_folder);

  // This number and all below it are used.
  void note_used(std::uint64_t generation);
  // Takes the next number. It is used up, whether or not its line can be written.
  std::uint64_t next_generation() { return ++generation_; }

  // An error of the line leaves the file as it was. A file that was removed is made again.
  [[nodiscard]] Line spawned(std::uint64_t generation, const std::string& program_hash, std::string_view cause);
  [[nodiscard]] Line live(const LiveGeneration& live);
  // What is on disk may be started again: held_back of the last live one no longer counts.
  [[nodiscard]] Line released();
  // A receipt with the same whole number in "to" as an earlier one amends it: it takes its place in receipts(). Those
  // of mode in-place stand for themselves.
  [[nodiscard]] Line receipt(const Json& receipt);

  // A log that was removed is made again with what counts.
  [[nodiscard]] Line remake() const;

  // Makes everything that was written before it began durable; may run beside the lines.
  std::function<Status()> sync_job() const;

  // Whole lines that were no JSON object when the log was opened.
  std::size_t unreadable_lines() const { return unreadable_; }
  std::uint64_t highest_generation() const { return generation_; }
  std::uint64_t highest_sequence() const { return sequence_; }
  const std::optional<LiveGeneration>& last_live() const { return live_; }
  // Program hash of each generation that was live, of the newest 1,000 of them.
  const std::map<std::uint64_t, std::string>& programs() const { return programs_; }
  // The newest generation that ran this program, 0: none that is known.
  std::uint64_t newest_with(const std::string& program_hash) const;
  // The newest 1,000, newest first.
  const std::deque<Json>& receipts() const { return receipts_; }

 private:
  explicit GenerationLog(std::string path) : path_(std::move(path)), file_(std::make_shared<LineFile>(path_)) {}
  void load(const std::string& text);
  void take(const Json& line);
  void take_live(const Json& line);
  void take_receipt(const Json& receipt);
  Line append(const Json& line);
  std::string carried() const;

  std::string path_;
  std::shared_ptr<LineFile> file_;
  bool torn_ = false;  // the last line that was read lacks its end
  std::size_t unreadable_ = 0;
  std::uint64_t generation_ = 0;
  std::uint64_t sequence_ = 0;
  std::optional<LiveGeneration> live_;
  std::map<std::uint64_t, std::string> programs_;
  std::deque<Json> receipts_;
};

}  // namespace zeroth
