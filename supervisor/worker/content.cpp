#include "supervisor/worker/content.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <optional>
#include <utility>

#include "common/files.h"
#include "common/hash.h"
#include "supervisor/watch/git_commit.h"

namespace zeroth {
namespace {

std::string_view suffix_of(std::string_view program) {
  return program.ends_with(".z") ? ".z" : ".zero";
}

Result<Content> to_content(const KeptProgram& kept, const std::optional<ProgramStore>& shown) {
  Content content{kept.hash, kept.path, kept.bytes};
  if (!shown || kept.path.empty()) return content;
  auto copy = shown->keep(*kept.bytes, suffix_of(kept.path));
  if (!copy) return fail(std::move(copy.error()).in("a copy for the worker's user"));
  content.shown = copy->path;
  return content;
}

Result<KeptProgram> keep_program(const std::string& program, const ProgramStore& store) {
  auto bytes = read_file(program, kMaxProgram);
  if (!bytes) return fail(std::move(bytes.error()));
  auto kept = store.keep(std::move(*bytes), suffix_of(program));
  if (!kept) return fail(std::move(kept.error()).in("keeping a copy of " + program));
  return kept;
}

bool all_gone(const std::vector<std::string>& paths) {
  return !paths.empty() && std::ranges::all_of(paths, [](const std::string& path) {
    return ::access(path.c_str(), F_OK) != 0 && (errno == ENOENT || errno == ENOTDIR);
  });
}

}  // namespace

ContentReader::ContentReader(Loop& loop, std::string program, std::string folder,
                             std::shared_ptr<const WatchScope> scope, const std::string& worker_folder,
                             std::optional<ProgramStore> shown, Note on_note)
    : loop_(loop),
      program_(std::move(program)),
      folder_(std::move(folder)),
      scope_(std::move(scope)),
      store_(worker_folder),
      shown_(std::move(shown)),
      on_note_(std::move(on_note)) {}

void ContentReader::read(Done done) {
  waiting_.push_back(std::move(done));
  if (!reading_) start();
}

void ContentReader::start() {
  reading_ = true;
  const auto read = std::make_shared<Read>();
  loop_.in_pool(
      [read, program = program_, folder = folder_, scope = scope_, store = store_, shown = shown_, cache = cache_] {
        if (!program.empty()) {
          read->kept = keep_program(program, store);
          if (read->kept) read->content = to_content(*read->kept, shown);
          return;
        }
        ContentHash hashed = hash_targets(*scope, cache.get());
        read->changed = std::move(hashed.changed);
        read->kept = KeptProgram{"", std::move(hashed.hex), nullptr, false};
        read->content = to_content(*read->kept, {});
        read->commit = git_commit_of(folder);
        read->gone = all_gone(scope->targets());
      },
      alive_, [this, read, waiting = std::exchange(waiting_, {})] { on_read(std::move(*read), waiting); });
}

void ContentReader::on_read(Read read, const std::vector<Done>& waiting) {
  const Result<KeptProgram>& kept = read.kept;
  reading_ = false;
  if (!waiting_.empty()) start();  // they asked after this read had begun
  Result<Content> content = kept ? std::move(read.content) : fail(kept.error());
  const bool was_there = std::exchange(been_there_, been_there_ || !read.gone);
  if (read.gone && was_there)
    content =
        fail(scope_->targets().front() + " is gone: what runs goes on, and no edit is seen until it is back", ENOENT);
  if (kept && !program_.empty()) {
    const std::string before = std::exchange(last_hash_, kept->hash);
    if (!before.empty() && before != kept->hash) read.changed = {program_};
  }
  if (content) {
    content->changed = std::move(read.changed);
    content->commit = std::move(read.commit);
  }
  for (const Done& done : waiting) done(content);
  // Only now, beside the start of whoever runs it: what survives a power cut is the state; this is for going back.
  if (kept && kept->written) sync(*kept);
}

// One after the other: a disk that does not answer is to hold no more than one thread.
void ContentReader::sync(const KeptProgram& kept) {
  const auto synced = std::make_shared<Status>();
  syncs_.run([synced, store = store_, kept] { *synced = store.sync(kept); }, alive_,
             [this, synced] {
               if (!*synced) on_note_("the kept copy of the program is not durable: " + synced->error().message);
             });
}

void ContentReader::find_kept(const std::string& hash, Done done) {
  const auto result = std::make_shared<Result<Content>>();
  loop_.in_pool(
      [result, store = store_, shown = shown_, hash] {
        auto kept = store.find(hash);
        *result = kept ? to_content(*kept, shown) : fail(kept.error());
      },
      alive_, [result, done = std::move(done)] { done(*result); });
}

void ContentReader::read_other(const std::string& file, Done done) {
  const auto result = std::make_shared<Result<Content>>(fail(""));
  loop_.in_pool(
      [result, shown = shown_, file] {
        auto bytes = read_file(file, kMaxProgram);
        const std::string hash = bytes ? xxh3_hex(*bytes) : "";
        if (bytes) *result = to_content({file, hash, std::make_shared<const std::string>(std::move(*bytes))}, shown);
        if (!bytes) *result = fail(bytes.error());
        if (*result) (*result)->bytes.reset();
      },
      alive_, [result, done = std::move(done)] { done(*result); });
}

void ContentReader::ensure_kept(const Content& content, std::function<void(const Status&)> done) {
  const auto result = std::make_shared<Result<KeptProgram>>();
  loop_.in_pool(
      [result, store = store_, shown = shown_, kept = KeptProgram{content.copy, content.hash, content.bytes, false}] {
        *result = store.ensure(kept);
        auto given = *result ? to_content(kept, shown) : fail(result->error());
        if (!given) *result = fail(std::move(given.error()));
      },
      alive_,
      [this, result, done = std::move(done)] {
        if (!*result) return done(fail(result->error()));
        done({});
        if ((*result)->written) sync(**result);
      });
}

}  // namespace zeroth
