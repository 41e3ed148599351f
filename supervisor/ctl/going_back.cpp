#include "supervisor/ctl/going_back.h"

#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <filesystem>
#include <iostream>

#include "common/clock.h"
#include "common/diagnostic.h"
#include "common/exit_codes.h"
#include "common/json_fields.h"
#include "common/text.h"
#include "supervisor/ctl/output.h"
#include "supervisor/ctl/run.h"
#include "supervisor/ctl/texts.h"

namespace zeroth {
namespace {

// Asks where somebody can answer; elsewhere --yes is needed. nullopt: go on.
std::optional<int> ask(const Invocation& call, const std::string& sentence) {
  if (field_or<bool>(call.params, "yes", false)) return std::nullopt;
  if (::isatty(STDIN_FILENO) != 1 || ::isatty(STDERR_FILENO) != 1) {
    complain(sentence + "; --yes does it");
    return kExitUsage;
  }
  std::fprintf(stderr, "%s\nGo on? [y/N] ", sentence.c_str());
  std::string answer;
  std::getline(std::cin, answer);
  if (answer == "y" || answer == "Y" || answer == "yes") return std::nullopt;
  complain("nothing was changed");
  return kExitFailed;
}

// What is for us and not for the supervisor.
Json params_of(const Invocation& call) {
  Json params = call.params;
  params.erase("yes");
  if (params.erase("no_wait") > 0) params["wait"] = false;
  return params;
}

int show_outcome(const Invocation& call, const Json& result) {
  std::string text = call.json ? dump(result) + "\n" : call.verb->text(result);
  if (field_or<bool>(result, "accepted", false) && !call.json) text = "accepted\n";
  const auto pinned = field_or<std::uint64_t>(result, "pinned", 0);
  if (pinned != 0 && !call.json) {
    text += field("Way back", "zerothctl " + (call.name.empty() ? "" : "-n " + call.name + " ") +
                                  "rollback --sequence " + std::to_string(pinned) +
                                  (call.params.contains("worker") ? " --worker " + show(call.params, "worker") : ""));
  }
  if (!print(text)) return kExitFailed;
  const auto verdict = field_or<std::string>(result, "verdict", "ok");
  return verdict == "ok" || verdict == "unchanged" ? kExitOk : kExitFailed;
}

int send(const Invocation& call, Client& client) {
  const auto response = client.call(call.word, params_of(call), call.timeout.value_or(call.verb->deadline));
  if (!response) return report(response.error());
  if (!response->outcome) return report(response->outcome.error());
  return show_outcome(call, *response->outcome);
}

// "34 min, 122,400 iterations"
std::string amount_lost(const Json& preview) {
  std::string text =
      human_duration(std::chrono::nanoseconds(static_cast<std::int64_t>(field_or<double>(preview, "age_s", 0) * 1e9)));
  const auto iterations = optional_field<std::uint64_t>(preview, "iteration_lost");
  if (iterations && *iterations) text += ", " + with_thousands(**iterations) + " iterations";
  return text;
}

std::string describe(const Json& preview) {
  const std::string generation = "generation " + show(preview, "generation");
  const bool code = field_or<bool>(preview, "code", false);
  if (!field_or<bool>(preview, "state", false))
    return (code ? "the code of " + generation + " returns" : "the code of " + generation + " runs already") +
           ", with the living state: nothing of it is lost";
  return "back to snapshot " + show(preview, "sequence") + " of " + generation + (code ? " and to its code" : "") +
         ": " + amount_lost(preview) + " would be lost";
}

// What `restart --fresh` leaves behind.
std::string describe_fresh(const Invocation& call, const Probe& chosen) {
  const Json workers = member_of(chosen.status, "workers");
  Json worker = workers.is_array() && workers.size() == 1 ? workers[0] : Json();
  for (const Json& one : workers.is_array() ? workers : Json::array()) {
    if (find_member(one, "name") != nullptr && member_of(one, "name") == member_of(call.params, "worker")) worker = one;
  }
  const auto iteration = optional_field<std::uint64_t>(member_of(worker, "beat"), "iteration");
  const std::string reached = iteration && *iteration ? " of iteration " + with_thousands(**iteration) : "";
  return "starting without state: the present one" + reached + " is left behind (it is pinned)";
}

bool nothing_lives(const std::vector<Probe>& probes) {
  return std::ranges::all_of(
      probes, [](const Probe& one) { return one.presence == Presence::Stopped || one.presence == Presence::Stale; });
}

struct CheckWords {
  Json params = Json::object();
  bool json = false;
};

// nullopt: not for the supervisor.
Result<std::optional<CheckWords>> read_check_words(const std::vector<std::string>& words) {
  CheckWords read;
  bool last = words.empty();
  std::vector<std::string> files;
  for (std::size_t i = 0; i < words.size(); ++i) {
    if (words[i] == "--json") {
      read.json = true;
      last = last || words.size() == 1;
      continue;
    }
    if (words[i] == "--worker" && i + 1 < words.size()) {
      read.params["worker"] = words[++i];
      last = true;
      continue;
    }
    const bool split = words[i] == "--last";
    if (!split && !words[i].starts_with("--last=")) {
      files.push_back(words[i]);
      continue;
    }
    const std::string text = !split ? words[i].substr(7) : i + 1 < words.size() ? words[++i] : "";
    std::int64_t count = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), count);
    if (error != std::errc() || end != text.data() + text.size() || text.empty())
      return fail("--last: '" + escape_control(text) + "' is no whole number");
    read.params["last"] = count;
    last = true;
  }
  if (!last) return std::optional<CheckWords>();
  if (files.size() > 1 || (!files.empty() && files[0].starts_with('-')))
    return fail("unexpected word '" + escape_control(files.back()) + "'; check [--last N] [FILE]");
  std::error_code error;
  if (!files.empty()) read.params["file"] = std::filesystem::absolute(files[0], error).string();
  return std::optional<CheckWords>(read);
}

}  // namespace

int run_restart(const Invocation& call) {
  std::vector<Probe> probes = probe_all(call.name);
  if (call.word == "start" && nothing_lives(probes)) return run_start(call);
  auto chosen = choose_or_tell(call, std::move(probes));
  if (!chosen) return chosen.error().code;
  if (field_or<bool>(call.params, "fresh", false)) {
    if (const auto stopped = ask(call, describe_fresh(call, *chosen))) return *stopped;
  }
  return send(call, *chosen->client);
}

int run_rollback(const Invocation& call) {
  if (call.params.contains("generation") == call.params.contains("sequence")) {
    complain("rollback: a GENERATION or --sequence N, one of them");
    return kExitUsage;
  }
  auto chosen = choose_or_tell(call);
  if (!chosen) return chosen.error().code;
  Json params = params_of(call);
  params["preview"] = true;
  const auto preview = chosen->client->call("rollback", params, call.timeout.value_or(call.verb->deadline));
  if (!preview) return report(preview.error());
  if (!preview->outcome) return report(preview->outcome.error());
  const std::string sentence = describe(*preview->outcome);
  if (const auto stopped = ask(call, sentence)) return *stopped;
  if (field_or<bool>(call.params, "yes", false)) std::fprintf(stderr, "%s\n", sentence.c_str());
  return send(call, *chosen->client);
}

int run_check(const Invocation& call) {
  const auto words = read_check_words(call.words);
  if (!words) {
    complain(words.error().message);
    return kExitUsage;
  }
  if (!*words) return run_worker_program(call);
  Invocation asked = call;
  asked.params = (*words)->params;
  asked.json = call.json || (*words)->json;
  auto chosen = choose_or_tell(asked);
  if (!chosen) return chosen.error().code;
  return send(asked, *chosen->client);
}

std::string check_text(const Json& result) {
  const Json diagnostics = member_of(result, "diagnostics");
  std::string text;
  const Json entries = member_of(result, "snapshots");
  if (entries.is_array()) {
    for (const Json& entry : entries) {
      const bool none = member_of(entry, "sequence").is_null();
      text += (none ? "without state"
                    : "snapshot " + show(entry, "sequence") + " of generation " + show(entry, "generation")) +
              ": " + receipt_changes(entry) + "\n";
    }
  }
  if (diagnostics.is_array() && !diagnostics.empty()) text += render_reported(diagnostics);
  text += show(result, "verdict");
  if (!show(result, "reason").empty()) text += ": " + show(result, "reason");
  return text + "\n";
}

}  // namespace zeroth
