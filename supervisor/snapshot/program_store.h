#pragma once
// `<state>/<worker>/programs`: the text of each program that ran, named by its hash, so that crash restarts and
// rollbacks run what was live and not what the disk holds by now. Blocks (reads, fsyncs): call it on the pool.

#include <sys/types.h>

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "common/result.h"

namespace zeroth {

struct KeptProgram {
  std::string path;
  std::string hash;  // XXH3-128 of the bytes
  std::shared_ptr<const std::string> bytes;
  bool written = false;  // by this call: sync() makes it durable
};

class ProgramStore {
 public:
  // `worker_folder`: `<state>/<worker>`; `programs` is made in it when it is needed.
  explicit ProgramStore(const std::string& worker_folder) : folder_(worker_folder + "/programs") {}
  // The same for copies that a group of others may read.
  ProgramStore(const std::string& worker_folder, gid_t readers) : ProgramStore(worker_folder) { readers_ = readers; }

  // Where `keep` puts a program.
  std::string path_of(const std::string& hash, std::string_view suffix) const {
    return folder_ + "/" + hash + std::string(suffix);
  }

  // Keeps `bytes` as <hash><suffix>; the same bytes again cost one read. A copy that no longer has its content is
  // replaced. `suffix`: ".zero" or ".z". One call at a time.
  Result<KeptProgram> keep(std::string bytes, std::string_view suffix) const;

  // Writes the copy anew if it is not there any more or was altered: it is about to be run again.
  Result<KeptProgram> ensure(KeptProgram kept) const;

  // Makes a copy durable that was written: apart from that, so that the worker may start beside the two fsyncs.
  Status sync(const KeptProgram& kept) const;

  // The copy with this hash, its content verified. ENOENT if none was kept, EBADMSG if it was altered.
  Result<KeptProgram> find(const std::string& hash) const;

 private:
  Status put(const KeptProgram& kept) const;

  std::string folder_;
  std::optional<gid_t> readers_;
};

}  // namespace zeroth
