#pragma once
// What a worker is to run: reads the program (or hashes the watched files of a command) on the pool, so that what runs
// is what was hashed. A program file is read once and kept as a copy named by its hash.

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/loop/loop.h"
#include "common/result.h"
#include "supervisor/snapshot/program_store.h"
#include "supervisor/watch/content_hash.h"

namespace zeroth {

inline constexpr std::size_t kMaxProgram = std::size_t(256) << 20;  // bytes; a larger file is no program

struct Content {
  std::string hash;                          // of the program's bytes or of all that is watched; "" where nothing is
  std::string copy;                          // kept file that is run; "" for a command, which runs from disk
  std::shared_ptr<const std::string> bytes;  // of the copy, in case it is taken away; null for a command
  std::vector<std::string> changed = {};     // paths whose content differs from the read before, the first 20
  std::string commit = "";                   // of a command, that its folder was at; "" if that is known of none
  std::string shown = "";  // the copy that processes of another user are given; "" where there is none

  bool operator==(const Content& other) const { return hash == other.hash; }
};

class ContentReader {
 public:
  using Done = std::function<void(Result<Content>)>;
  using Note = std::function<void(const std::string&)>;

  // `program`: path of a .zero or .z file, or "" for a command in `folder`, whose `scope` is hashed. `shown`: where a
  // second copy is kept for processes that cannot read the first.
  ContentReader(Loop& loop, std::string program, std::string folder, std::shared_ptr<const WatchScope> scope,
                const std::string& worker_folder, std::optional<ProgramStore> shown, Note on_note);

  // As the disk is after this call; an error names the file and carries errno. ENOENT: the program, or all that is
  // watched of a command and has been there before, is away.
  void read(Done done);
  // The kept copy of a hash.
  void find_kept(const std::string& hash, Done done);
  // Of another file's bytes, which are not kept: only shown where that is needed.
  void read_other(const std::string& file, Done done);
  // Before a copy is run again: one that is no longer there is written anew.
  void ensure_kept(const Content& content, std::function<void(const Status&)> done);

 private:
  void start();
  struct Read {
    Result<KeptProgram> kept = fail("");
    Result<Content> content = fail("");  // of what was kept
    std::vector<std::string> changed;
    std::string commit;
    bool gone = false;  // nothing that is watched is there
  };
  void on_read(Read read, const std::vector<Done>& waiting);
  void sync(const KeptProgram& kept);

  Loop& loop_;
  const std::string program_;
  const std::string folder_;
  const std::shared_ptr<const WatchScope> scope_;
  const ProgramStore store_;
  const std::optional<ProgramStore> shown_;
  const Note on_note_;
  std::shared_ptr<HashCache> cache_ = std::make_shared<HashCache>();
  Lane syncs_{loop_};
  std::string last_hash_;    // of the program, when it was last read
  bool been_there_ = false;  // something that is watched, at any read
  std::vector<Done> waiting_;
  bool reading_ = false;
  std::shared_ptr<void> alive_ = std::make_shared<int>();
};

}  // namespace zeroth
