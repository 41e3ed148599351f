#include "supervisor/ctl/snapshots.h"

#include "common/exit_codes.h"
#include "common/json_fields.h"
#include "common/terminal_style.h"
#include "common/text.h"
#include "supervisor/ctl/output.h"
#include "supervisor/ctl/run.h"

namespace zeroth {
namespace {

constexpr std::uint64_t kSnapshotsAtOnce = 100;

std::string grouped(const Json& object, std::string_view member) {
  return with_thousands(field_or<std::uint64_t>(object, member, 0));
}

// A value of a state as JSON; what the supervisor shortened ends in "… (1,234 bytes)".
std::string value_text(const Json& value) {
  const Json* shortened = find_member(value, "$shortened");
  if (shortened == nullptr || !shortened->is_string()) return escape_control(dump(value));
  return escape_control(shortened->get_ref<const std::string&>()) + (locale_is_utf8() ? "… (" : "... (") +
         grouped(value, "bytes") + " bytes)";
}

std::string arrow() {
  return locale_is_utf8() ? " → " : " -> ";
}

// One line for each member: "+ /visits/ben  1".
std::string lines_of(const Json& result, std::string_view list, std::string_view mark, Colour colour) {
  std::string text;
  const Json* entries = find_member(result, list);
  if (entries == nullptr || !entries->is_object()) return text;
  for (const auto& [pointer, value] : entries->items()) {
    const Json *from = find_member(value, "from"), *to = find_member(value, "to");
    const bool both = list == "changed" && from != nullptr && to != nullptr;
    text += paint(std::string(mark) + " " + (pointer.empty() ? "(the whole state)" : escape_control(pointer)), colour) +
            "  " + (both ? value_text(*from) + arrow() + value_text(*to) : value_text(value)) + "\n";
  }
  return text;
}

std::size_t shown_in(const Json& result) {
  return member_of(result, "added").size() + member_of(result, "removed").size() + member_of(result, "changed").size();
}

std::string side(const Json& envelope) {
  return "snapshot " + show(envelope, "sequence") + " (generation " + show(envelope, "generation") + ", " +
         show(envelope, "created_at") + ")";
}

// The newest snapshot of a generation. On an error it has said why; the code is the exit code.
Result<std::uint64_t> last_of_generation(Client& client, const Invocation& call, std::uint64_t generation) {
  for (std::uint64_t offset = 0;; offset += kSnapshotsAtOnce) {
    const Json params = {{"limit", kSnapshotsAtOnce}, {"offset", offset}};
    const auto response = client.call("snapshots", params, call.timeout.value_or(call.verb->deadline));
    if (!response) return fail("", report(response.error()));
    if (!response->outcome) return fail("", report(response->outcome.error()));
    const Json list = member_of(*response->outcome, "snapshots");
    for (const Json& snapshot : list) {
      if (field_or<std::uint64_t>(snapshot, "generation", 0) == generation)
        return field_or<std::uint64_t>(snapshot, "sequence", 0);
    }
    if (offset + kSnapshotsAtOnce >= field_or<std::uint64_t>(*response->outcome, "total", 0)) {
      complain("no snapshot of generation " + std::to_string(generation) + " is kept (see zerothctl snapshots)");
      return fail("", kExitFailed);
    }
  }
}

}  // namespace

std::string snapshots_text(const Json& result) {
  constexpr Column kColumns[] = {{"Sequence", "sequence"},  {"Generation", "generation"}, {"Cause", "cause"},
                                 {"Created", "created_at"}, {"Bytes", "bytes"},           {"Pin", "pin"}};
  Json rows = Json::array();
  for (Json row : member_of(result, "snapshots")) {
    row["pin"] = field_or<bool>(row, "pinned", false) ? "pinned" : "";
    row["bytes"] = grouped(row, "bytes");
    if (find_member(row, "imported") != nullptr) row["cause"] = show(row, "cause") + ", imported";
    rows.push_back(std::move(row));
  }
  return table(rows, kColumns);
}

std::string snapshot_text(const Json& result) {
  Json envelope = result;
  Json state;
  if (find_member(envelope, "state") != nullptr) {
    state = std::move(envelope["state"]);
    envelope.erase("state");
  }
  return fields(envelope) + (state.is_null() ? "" : dump(state) + "\n");
}

std::string pin_text(const Json& result) {
  const bool pinned = field_or<bool>(result, "pinned", false);
  return "snapshot " + show(result, "sequence") + (pinned ? " is pinned\n" : " is not pinned any more\n");
}

std::string diff_text(const Json& result) {
  const auto total = field_or<std::uint64_t>(result, "total", 0);
  const Json counts = member_of(result, "counts");
  std::string text = side(member_of(result, "a")) + arrow() + side(member_of(result, "b")) + "\n";
  if (total == 0) return text + "no difference\n";
  text += lines_of(result, "changed", "~", Colour::Yellow) + lines_of(result, "added", "+", Colour::Green) +
          lines_of(result, "removed", "-", Colour::Red);
  const std::size_t shown = shown_in(result);
  if (shown < total) text += "and " + with_thousands(total - shown) + " more\n";
  return text + grouped(counts, "changed") + " changed, " + grouped(counts, "added") + " added, " +
         grouped(counts, "removed") + " removed\n";
}

std::string export_text(const Json& result) {
  return "snapshot " + show(result, "sequence") + " is in " + show(result, "path") + ", " + grouped(result, "bytes") +
         " bytes\n";
}

std::string import_text(const Json& result) {
  const Json origin = member_of(result, "imported");
  const std::string sequence = show(result, "sequence");
  std::string text = "snapshot " + sequence + ", pinned: snapshot " + show(origin, "sequence") + " of " +
                     show(origin, "worker") + ", taken at " + show(result, "created_at") + ", " +
                     grouped(result, "bytes") + " bytes\n";
  for (const Json& warning : member_of(result, "warnings")) text += "warning: " + show(warning) + "\n";
  return text + "nothing goes on from it by itself; to do so: zerothctl rollback --sequence " + sequence +
         " --state-only\n";
}

int run_diff(const Invocation& call) {
  Invocation resolved = call;
  resolved.params.erase("generation");
  if (!field_or<bool>(call.params, "generation", false)) return run_call(resolved);
  auto chosen = choose_or_tell(call);
  if (!chosen) return chosen.error().code;
  for (const char* name : {"a", "b"}) {
    const auto generation = field_or<std::uint64_t>(call.params, name, 0);
    const auto sequence = last_of_generation(*chosen->client, call, generation);
    if (!sequence) return sequence.error().code;
    resolved.params[name] = *sequence;
  }
  return run_call(resolved);
}

}  // namespace zeroth
