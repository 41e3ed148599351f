#include "supervisor/ctl/state.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <vector>

#include "common/exit_codes.h"
#include "common/json_fields.h"
#include "common/text.h"
#include "supervisor/ctl/output.h"
#include "supervisor/ctl/run.h"

namespace zeroth {
namespace {

constexpr std::string_view kNull = "null";
constexpr int kIndent = 2;
constexpr char32_t kDelete = 0x7f, kLastControl = 0x9f;

// "a~1b" names the member "a/b". Nothing for what is no escape.
std::optional<std::string> unescape(std::string_view part) {
  std::string name;
  for (std::size_t i = 0; i < part.size(); ++i) {
    if (part[i] != '~') {
      name += part[i];
      continue;
    }
    if (++i == part.size() || (part[i] != '0' && part[i] != '1')) return std::nullopt;
    name += part[i] == '0' ? '~' : '/';
  }
  return name;
}

std::string escape(std::string_view name) {
  std::string part;
  for (const char c : name) part += c == '~' ? "~0" : c == '/' ? "~1" : std::string(1, c);
  return part;
}

std::string in_quotes(std::string_view pointer) {
  return "'" + escape_control(pointer) + "'";
}

// For a sentence about the value there.
std::string placed(std::string_view above) {
  return above.empty() ? "the state" : escape_control(above);
}

Result<const Json*> find_element(const Json& array, std::string_view above, std::string_view part) {
  std::size_t index = 0;
  const auto [end, error] = std::from_chars(part.data(), part.data() + part.size(), index);
  const bool canonical = part.size() == 1 || !part.starts_with('0');
  const bool number = error == std::errc() && end == part.data() + part.size() && canonical;
  if (number && index < array.size()) return &array[index];
  return fail(in_quotes(std::string(above) + "/" + std::string(part)) + " is not there: " + placed(above) +
              " is a list of " + with_thousands(array.size()) + (number ? "" : ", its elements are numbers from 0"));
}

Result<const Json*> find_named(const Json& object, std::string_view above, const std::string& name) {
  if (const Json* found = find_member(object, name)) return found;
  std::vector<std::string_view> names;
  for (const auto& member : object.items()) names.push_back(member.key());
  const std::string_view meant = nearest(name, names);
  return fail(in_quotes(std::string(above) + "/" + escape(name)) + " is not there" +
              (meant.empty() ? "" : ", did you mean " + in_quotes(std::string(above) + "/" + escape(meant)) + "?"));
}

// The workers that the command line means, as `status` tells of them.
std::vector<Json> workers_meant(const Invocation& call, const Json& status) {
  const auto name = field_or<std::string>(call.params, "worker", "");
  std::vector<Json> meant;
  for (const Json& worker : member_of(status, "workers")) {
    if (name.empty() || field_or<std::string>(worker, "name", "") == name) meant.push_back(worker);
  }
  return meant;
}

// The one worker announces a command `state` that does without a name.
bool has_own_state(const Invocation& call, const Json& status) {
  const std::vector<Json> meant = workers_meant(call, status);
  if (meant.size() != 1) return false;
  for (const Json& command : member_of(meant.front(), "commands")) {
    if (field_or<std::string>(command, "name", "") != call.word) continue;
    return find_member(member_of(command, "params"), "name") == nullptr;
  }
  return false;
}

// A word that is no pointer: the name of a state, where the worker has a command for it.
int ask_worker(const Invocation& call, Client& client, const std::string& name) {
  const auto response = client.call(call.word, call.params, call.timeout.value_or(call.verb->deadline));
  if (!response) return report(response.error());
  if (!response->outcome && response->outcome.error().code == ErrorCode::UnknownCommand) {
    complain(in_quotes(name) +
             ": the worker has no command 'state' that takes a name; a part of its saved state begins " +
             "with '/', did you mean " + in_quotes("/" + name) + "?");
    return kExitUsage;
  }
  if (!response->outcome) return report(response->outcome.error());
  const bool shown = print(call.json ? dump(*response->outcome) + "\n" : fields(*response->outcome));
  return shown ? kExitOk : kExitFailed;
}

// The result of a supervisor's command. On an error it has said why; the code is the exit code.
Result<Json> ask_supervisor(const Invocation& call, Client& client, std::string_view command, Json params) {
  if (const Json* worker = find_member(call.params, "worker")) params["worker"] = *worker;
  auto response = client.call(command, params, call.timeout.value_or(call.verb->deadline));
  if (!response) return fail("", report(response.error()));
  if (!response->outcome) return fail("", report(response->outcome.error()));
  return std::move(*response->outcome);
}

// The newest snapshot, with its state; errors as above.
Result<Json> newest_snapshot(const Invocation& call, Client& client) {
  const auto page = ask_supervisor(call, client, "snapshots", {{"limit", 1}});
  if (!page) return fail("", page.error().code);
  const Json list = member_of(*page, "snapshots");
  if (!list.is_array() || list.empty()) {
    complain("no snapshot is kept yet; zerothctl checkpoint takes one, of a worker that keeps state");
    return fail("", kExitFailed);
  }
  auto snapshot = ask_supervisor(call, client, "snapshot", {{"sequence", member_of(list[0], "sequence")}});
  if (!snapshot) return snapshot;
  const auto bytes = field_or<std::uint64_t>(*snapshot, "bytes", 0);
  if (!member_of(*snapshot, "state").is_null() || bytes <= kNull.size()) return snapshot;
  complain("the state of snapshot " + show(*snapshot, "sequence") + " is too large to be shown, " +
           with_thousands(bytes) + " bytes; it is in " + show(*snapshot, "path"));
  return fail("", kExitFailed);
}

int show_part(const Invocation& call, Client& client, const std::string& pointer) {
  const auto snapshot = newest_snapshot(call, client);
  if (!snapshot) return snapshot.error().code;
  const Json state = member_of(*snapshot, "state");
  const auto part = find_part(state, pointer);
  if (!part) {
    complain(part.error().message + " (of snapshot " + show(*snapshot, "sequence") + ")");
    return kExitFailed;
  }
  return print(call.json ? dump(**part) + "\n" : state_text(**part)) ? kExitOk : kExitFailed;
}

}  // namespace

Result<const Json*> find_part(const Json& state, std::string_view pointer) {
  if (!pointer.empty() && pointer[0] != '/') return fail(in_quotes(pointer) + " is no pointer: it begins with '/'");
  const Json* at = &state;
  for (std::size_t from = 0; from < pointer.size();) {
    const std::size_t end = std::min(pointer.find('/', from + 1), pointer.size());
    const std::string_view above = pointer.substr(0, from), part = pointer.substr(from + 1, end - from - 1);
    const auto name = unescape(part);
    if (!name) return fail(in_quotes(pointer.substr(0, end)) + ": '~' is written '~0', and '/' in a name '~1'");
    if (!at->is_structured())
      return fail(in_quotes(pointer.substr(0, end)) + " is not there: " + placed(above) + " has no parts (" +
                  at->type_name() + ")");
    const auto next = at->is_array() ? find_element(*at, above, part) : find_named(*at, above, *name);
    if (!next) return next;
    at = *next;
    from = end;
  }
  return at;
}

std::string state_text(const Json& value) {
  const std::string json = value.dump(kIndent, ' ', false, Json::error_handler_t::replace);
  std::string text;
  for (std::size_t at = 0; at < json.size();) {
    const Utf8Char next = decode_utf8(json, at);
    // JSON itself escapes only what lies below the blank.
    if (next.code >= kDelete && next.code <= kLastControl) {
      constexpr std::string_view kDigits = "0123456789abcdef";
      text += {'\\', 'u', '0', '0', kDigits[next.code / 16], kDigits[next.code % 16]};
    } else {
      text += json.substr(at, next.size);
    }
    at += next.size;
  }
  return text + "\n";
}

int run_state(const Invocation& call) {
  const auto name = field_or<std::string>(call.params, "name", "");
  const bool injects = call.params.contains("inject");
  if (injects && (name.empty() || name[0] == '/')) {
    complain("--inject: into which state? state NAME --inject X");
    return kExitUsage;
  }
  auto chosen = choose_or_tell(call);
  if (!chosen) return chosen.error().code;
  const bool of_worker = name.empty() ? has_own_state(call, chosen->status) : name[0] != '/';
  return of_worker ? ask_worker(call, *chosen->client, name) : show_part(call, *chosen->client, name);
}

}  // namespace zeroth
