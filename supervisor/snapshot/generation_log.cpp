#include "supervisor/snapshot/generation_log.h"

#include <algorithm>
#include <cerrno>

#include "common/files.h"
#include "common/json_fields.h"
#include "common/json_reader.h"
#include "common/snapshot_format.h"
#include "supervisor/snapshot/generation_traces.h"

namespace zeroth {
namespace {

constexpr std::size_t kMaxRead = 64 << 20;  // of a file that somebody else made larger
constexpr std::size_t kReceipts = 1'000;    // held for `generations`
constexpr std::size_t kAmendable = 16;      // newest ones looked through: an amendment follows within one reload

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
  log.note_used(highest_traced_generation(worker_folder));
  if (Status opened = log.file_->open(log.torn_); !opened) return fail(std::move(opened.error()));
  if (Status synced = sync_folder(worker_folder); !synced) return fail(std::move(synced.error()));
  return log;
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
void GenerationLog::note_used(std::uint64_t generation) {
  if (generation <= kMaxSequence) generation_ = std::max(generation_, generation);
}

void GenerationLog::take(const Json& line) {
  const auto event = field_or<std::string>(line, "event", "");
  note_used(field_or<std::uint64_t>(line, "generation", 0));
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
  note_used(to.value_or(0));
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

GenerationLog::Line GenerationLog::spawned(std::uint64_t generation, const std::string& program_hash,
                                           std::string_view cause) {
  return append({{"event", "spawned"}, {"generation", generation}, {"program_hash", program_hash}, {"cause", cause}});
}

GenerationLog::Line GenerationLog::live(const LiveGeneration& live) {
  return append(live_line(live));
}

GenerationLog::Line GenerationLog::released() {
  return append({{"event", "released"}});
}

GenerationLog::Line GenerationLog::receipt(const Json& receipt) {
  return append({{"event", "receipt"}, {"receipt", receipt}});
}

GenerationLog::Line GenerationLog::append(const Json& line) {
  take(line);
  return [file = file_, text = dump(line) + "\n", carried = carried()] { return file->append(text, carried); };
}

GenerationLog::Line GenerationLog::remake() const {
  return [file = file_, carried = carried()] { return file->remake(carried); };
}

// Numbers and the live line begin a new file, so that the older one may go next time.
std::string GenerationLog::carried() const {
  const Json numbers{{"event", "rotated"}, {"generation", generation_}, {"sequence", sequence_}};
  return dump(numbers) + "\n" + (live_ ? dump(live_line(*live_)) + "\n" : "");
}

std::function<Status()> GenerationLog::sync_job() const {
  return [file = file_] { return file->sync(); };
}

}  // namespace zeroth
