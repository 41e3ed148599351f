#include "supervisor/snapshot/generation_log.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>

#include "common/files.h"
#include "common/json_fields.h"
#include "common/json_reader.h"
#include "common/snapshot_format.h"
#include "supervisor/snapshot/generation_traces.h"

namespace zeroth {
namespace {

constexpr std::uint64_t kMaxFile = 10'000'000;  // bytes; two such files are kept
constexpr std::size_t kMaxRead = 64 << 20;      // of a file that somebody else made larger
constexpr std::size_t kReceipts = 1'000;        // held for `generations`
constexpr std::size_t kAmendable = 16;          // newest ones looked through: an amendment follows within one reload

std::optional<std::uint64_t> to_generation(const Json& receipt) {
  auto to = optional_field<std::uint64_t>(receipt, "to");
  return to ? *to : std::nullopt;
}

// Nobody was spawned for it: it stands beside the receipt of the generation that it was about.
bool is_in_place(const Json& receipt) {
  return field_or<std::string>(receipt, "mode", "") == "in-place";
}

Json live_line(const LiveGeneration& live) {
  return {
      {"event", "live"},
      {"generation", live.generation},
      {"pid", live.pid},
      {"schema", live.schema},
      {"identity", live.identity},
      {"program_hash", live.program_hash},
      {"speaks", live.speaks},
      {"put_aside", live.put_aside.to == 0 ? Json() : Json{{"after", live.put_aside.after}, {"to", live.put_aside.to}}},
      {"anew", live.anew},
      {"held_back", live.held_back}};
}

}  // namespace

Result<GenerationLog> GenerationLog::open(const std::string& worker_folder) {
  if (Status made = make_folders(worker_folder); !made) return fail(std::move(made.error()));
  GenerationLog log(worker_folder + "/generations.jsonl");
  for (const std::string& path : {log.path_ + ".1", log.path_}) {
    auto text = read_file(path, kMaxRead);
    if (text) {
      log.load(*text);
    } else if (text.error().code != ENOENT) {
      return fail(std::move(text.error()));
    }
  }
  log.note_generation(highest_traced_generation(worker_folder));
  if (Status opened = log.open_file(); !opened) return fail(std::move(opened.error()));
  if (Status synced = sync_folder(worker_folder); !synced) return fail(std::move(synced.error()));
  return log;
}

Status GenerationLog::open_file() {
  UniqueFd fd(::open(path_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600));
  if (!fd) return fail(last_error(path_));
  struct stat info {};
  if (::fstat(fd.get(), &info) != 0) return fail(last_error(path_));
  if (!S_ISREG(info.st_mode)) return fail(path_ + ": not a regular file");
  size_ = static_cast<std::uint64_t>(info.st_size);
  file_ = std::make_shared<UniqueFd>(std::move(fd));
  return {};
}

void GenerationLog::load(const std::string& text) {
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    const std::string_view bytes = std::string_view(text).substr(begin, end - begin);
    const auto line = parse_json(bytes);
    if (line && line->value.is_object()) {
      take(line->value);
    } else if (!bytes.empty() && end != text.size()) {
      ++unreadable_;
    }
    begin = end + 1;
  }
  torn_ = !text.empty() && text.back() != '\n';
}

// A number that no count can have come to is damage, and would leave none to give out.
void GenerationLog::note_generation(std::uint64_t generation) {
  if (generation <= kMaxSequence) generation_ = std::max(generation_, generation);
}

void GenerationLog::take(const Json& line) {
  const auto event = field_or<std::string>(line, "event", "");
  note_generation(field_or<std::uint64_t>(line, "generation", 0));
  sequence_ = std::max(sequence_, field_or<std::uint64_t>(line, "sequence", 0));
  if (event == "live") {
    take_live(line);
  } else if (event == "released") {
    if (live_) live_->held_back = nullptr;
  } else if (event == "receipt") {
    if (const Json* receipt = find_member(line, "receipt")) take_receipt(*receipt);
  }
}

void GenerationLog::take_live(const Json& line) {
  live_ = LiveGeneration{field_or<std::uint64_t>(line, "generation", 0),  field_or<std::int64_t>(line, "pid", 0),
                         field_or<std::string>(line, "schema", ""),       field_or<std::string>(line, "identity", ""),
                         field_or<std::string>(line, "program_hash", ""), field_or<bool>(line, "speaks", true)};
  if (const Json* aside = find_member(line, "put_aside"))
    live_->put_aside = {field_or<std::uint64_t>(*aside, "after", 0), field_or<std::uint64_t>(*aside, "to", 0)};
  sequence_ = std::max(sequence_, live_->put_aside.to);  // what is saved from now on must not look put aside
  live_->anew = field_or<bool>(line, "anew", false);
  if (const Json* held = find_member(line, "held_back"); held != nullptr && held->is_object()) live_->held_back = *held;
  programs_[live_->generation] = live_->program_hash;
  if (programs_.size() > kReceipts) programs_.erase(programs_.begin());
}

std::uint64_t GenerationLog::newest_with(const std::string& program_hash) const {
  for (auto entry = programs_.rbegin(); entry != programs_.rend(); ++entry) {
    if (entry->second == program_hash) return entry->first;
  }
  return 0;
}

void GenerationLog::take_receipt(const Json& receipt) {
  sequence_ = std::max(sequence_, field_or<std::uint64_t>(receipt, "sequence", 0));
  const auto to = to_generation(receipt);
  note_generation(to.value_or(0));
  const auto end = receipts_.begin() + static_cast<std::ptrdiff_t>(std::min(kAmendable, receipts_.size()));
  const auto earlier = std::find_if(receipts_.begin(), end, [&](const Json& other) {
    return to && to_generation(other) == to && !is_in_place(other);
  });
  if (earlier != end && !is_in_place(receipt)) {
    *earlier = receipt;
    return;
  }
  receipts_.push_front(receipt);
  if (receipts_.size() > kReceipts) receipts_.pop_back();
}

Status GenerationLog::spawned(std::uint64_t generation, const std::string& program_hash, std::string_view cause) {
  return append({{"event", "spawned"}, {"generation", generation}, {"program_hash", program_hash}, {"cause", cause}});
}

Status GenerationLog::live(const LiveGeneration& live) {
  return append(live_line(live));
}

Status GenerationLog::released() {
  return append({{"event", "released"}});
}

Status GenerationLog::receipt(const Json& receipt) {
  return append({{"event", "receipt"}, {"receipt", receipt}});
}

Status GenerationLog::append(const Json& line) {
  take(line);
  std::string text = dump(line) + "\n";
  const bool lost = is_unlinked();
  if (lost) {
    if (Status made = make_folders(folder_of(path_)); !made) return made;
  }
  if (lost || (size_ + text.size() > kMaxFile && size_ > 0)) {
    if (Status rotated = rotate(); !rotated) return fail(std::move(rotated.error()).in("rotating " + path_));
  }
  return write_line(std::move(text));
}

Status GenerationLog::write_line(std::string text) {
  if (torn_) text.insert(0, 1, '\n');
  ssize_t written = 0;
  do {
    written = ::write(file_->get(), text.data(), text.size());
  } while (written < 0 && errno == EINTR);
  if (written < 0) return fail(last_error(path_));
  size_ += static_cast<std::uint64_t>(written);
  // The rest of a short write is not retried: other bytes cannot be between, but the disk is full now.
  torn_ = static_cast<std::size_t>(written) != text.size();
  if (torn_) return fail(system_error(path_, ENOSPC));
  return {};
}

Status GenerationLog::remake() {
  if (!is_unlinked()) return {};
  if (Status made = make_folders(folder_of(path_)); !made) return made;
  return rotate();
}

// Our file has no name any more, or there is none of that name: the folder was removed or moved away under us.
bool GenerationLog::is_unlinked() const {
  struct stat info {};
  if (::fstat(file_->get(), &info) == 0 && info.st_nlink == 0) return true;
  return ::lstat(path_.c_str(), &info) != 0 && errno == ENOENT;
}

// Numbers and the live line are carried over, so that the older file may go next time.
Status GenerationLog::rotate() {
  if (std::rename(path_.c_str(), (path_ + ".1").c_str()) != 0 && errno != ENOENT) return fail(last_error("rename"));
  if (Status opened = open_file(); !opened) return opened;
  torn_ = false;
  Status carried =
      write_line(dump(Json{{"event", "rotated"}, {"generation", generation_}, {"sequence", sequence_}}) + "\n");
  if (!carried || !live_) return carried;
  return write_line(dump(live_line(*live_)) + "\n");
}

std::function<Status()> GenerationLog::sync_job() const {
  return [file = file_, path = path_]() -> Status {
    if (::fdatasync(file->get()) != 0) return fail(last_error("fsync " + path));
    return sync_folder(folder_of(path));
  };
}

}  // namespace zeroth
