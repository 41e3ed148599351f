#include "supervisor/metrics.h"

#include <array>
#include <charconv>
#include <cmath>
#include <set>
#include <string_view>
#include <utility>
#include <vector>

#include "common/json_fields.h"

namespace zeroth {
namespace {

constexpr std::size_t kMostOfABeat = 500;    // names that one worker may add
constexpr std::size_t kLongestMetric = 100;  // of them

constexpr std::string_view kStates[] = {"starting", "ready",    "reloading", "backoff",
                                        "failed",   "finished", "stopping",  "stopped"};

using Labels = std::vector<std::pair<std::string_view, std::string>>;

// Samples of one name stand together, whoever they are of.
class Exposition {
 public:
  void add(const std::string& name, std::string_view type, std::string_view help, const Labels& labels, double value) {
    Family& family = family_of(name, type, help);
    const std::string sample = name + text_of_labels(labels);
    if (!family.seen.insert(sample).second) return;  // two names of a beat became one
    family.samples += sample + " " + text_of_number(value) + "\n";
  }
  std::string text() const {
    std::string all;
    for (const Family& family : families_) all += family.head + family.samples;
    return all;
  }

 private:
  struct Family {
    std::string head, samples;
    std::set<std::string> seen;
  };

  Family& family_of(const std::string& name, std::string_view type, std::string_view help) {
    const auto [at, is_new] = places_.emplace(name, families_.size());
    if (is_new) {
      std::string head = "# HELP " + name + " " + std::string(help) + "\n";
      head += "# TYPE " + name + " " + std::string(type) + "\n";
      families_.push_back({std::move(head), "", {}});
    }
    return families_[at->second];
  }

  static std::string text_of_labels(const Labels& labels) {
    std::string text;
    for (const auto& [name, value] : labels) {
      text += (text.empty() ? "{" : ",") + std::string(name) + "=\"";
      for (const char c : value) {
        if (c == '\\' || c == '"') text += '\\';
        text += c == '\n' ? std::string("\\n") : std::string(1, c);
      }
      text += '"';
    }
    return text.empty() ? "" : text + "}";
  }

  static std::string text_of_number(double value) {
    if (std::isnan(value)) return "NaN";
    if (std::isinf(value)) return value > 0 ? "+Inf" : "-Inf";
    constexpr double kExact = 9'007'199'254'740'992;  // 2^53
    std::array<char, 64> text;
    const bool whole = std::abs(value) < kExact && value == std::floor(value);
    const auto end = whole ? std::to_chars(text.data(), text.data() + text.size(), static_cast<std::int64_t>(value))
                           : std::to_chars(text.data(), text.data() + text.size(), value);
    return {text.data(), end.ptr};
  }

  std::vector<Family> families_;
  std::map<std::string, std::size_t> places_;
};

// What a worker calls it, as a name of a metric may be.
std::string metric_name(std::string_view name) {
  std::string plain;
  for (const char c : name.substr(0, kLongestMetric)) {
    const bool fits = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
    plain += fits ? c : '_';
  }
  return "zeroth_beat_" + plain;
}

struct Gauge {
  std::string_view place;  // in the status of a worker: "snapshot.bytes"
  std::string_view name, type, help;
  double per = 1;  // the unit of that place, for one of ours
};
constexpr Gauge kGauges[] = {
    {"generation", "zeroth_worker_generation", "gauge", "Generation that is live."},
    {"uptime_s", "zeroth_worker_uptime_seconds", "gauge", "Since it is live."},
    {"restarts", "zeroth_worker_restarts_total", "counter", "Restarts after an end that nobody asked for."},
    {"last_reload.ms.total", "zeroth_worker_last_reload_seconds", "gauge", "What the last attempt took.", 1e3},
    {"last_reload.ms.pause", "zeroth_worker_last_pause_seconds", "gauge",
     "From the cut to go in the last attempt: how long nobody worked.", 1e3},
    {"snapshot.sequence", "zeroth_worker_snapshot_sequence", "gauge", "Number of the newest snapshot."},
    {"snapshot.bytes", "zeroth_worker_snapshot_bytes", "gauge", "Size of its state."},
    {"snapshot.age_s", "zeroth_worker_snapshot_age_seconds", "gauge", "How old it is."},
    {"snapshot.count", "zeroth_worker_snapshots", "gauge", "Snapshots that are kept."},
    {"loss_window_s", "zeroth_worker_loss_window_seconds", "gauge", "What a kill would cost now."},
    {"health.failures", "zeroth_worker_health_failures", "gauge", "Failures of --health in a row."},
    {"beat.iteration", "zeroth_worker_iteration", "gauge", "Iteration of the newest beat."},
};

// Null if there is none.
const Json* at_place(const Json& object, std::string_view place) {
  const Json* found = &object;
  while (found != nullptr && !place.empty()) {
    const std::size_t dot = std::min(place.find('.'), place.size());
    found = found->is_object() ? find_member(*found, place.substr(0, dot)) : nullptr;
    place.remove_prefix(std::min(dot + 1, place.size()));
  }
  return found;
}

void add_beat(Exposition& all, const Labels& labels, const Json& metrics) {
  std::size_t added = 0;
  for (const auto& [name, value] : metrics.items()) {
    if (!value.is_number()) continue;
    if (++added > kMostOfABeat) break;
    all.add(metric_name(name), "gauge", "Reported by the worker.", labels, value.get<double>());
  }
}

void add_worker(Exposition& all, const Json& worker, const std::map<pid_t, std::uint64_t>& memory) {
  const auto state = field_or<std::string>(worker, "state", "");
  const Labels labels = {{"worker", field_or<std::string>(worker, "name", "")}};
  const bool up = state == "ready" || state == "reloading";
  all.add("zeroth_worker_up", "gauge", "1 if it is live.", labels, up ? 1 : 0);
  for (const std::string_view one : kStates) {
    Labels of_state = labels;
    of_state.emplace_back("state", one);
    all.add("zeroth_worker_state", "gauge", "1 for the state that it is in.", of_state, state == one ? 1 : 0);
  }
  if (const Json* reloads = at_place(worker, "reloads"); reloads != nullptr && reloads->is_object()) {
    for (const auto& [verdict, count] : reloads->items()) {
      Labels of_verdict = labels;
      of_verdict.emplace_back("verdict", verdict);
      all.add("zeroth_worker_reloads_total", "counter", "Attempts to bring a generation to life, by their verdict.",
              of_verdict, count.get<double>());
    }
  }
  for (const Gauge& gauge : kGauges) {
    const Json* value = at_place(worker, gauge.place);
    if (value != nullptr && value->is_number())
      all.add(std::string(gauge.name), gauge.type, gauge.help, labels, value->get<double>() / gauge.per);
  }
  const Json* degraded = at_place(worker, "snapshot.degraded");
  all.add("zeroth_worker_snapshot_degraded", "gauge", "1 if snapshots cannot be saved.", labels,
          degraded != nullptr && !degraded->is_null() ? 1 : 0);
  const auto used = memory.find(static_cast<pid_t>(field_or<std::int64_t>(worker, "pid", 0)));
  if (used != memory.end())
    all.add("zeroth_worker_resident_bytes", "gauge", "Memory of its processes.", labels,
            static_cast<double>(used->second));
  if (const Json* metrics = at_place(worker, "beat.metrics"); metrics != nullptr && metrics->is_object())
    add_beat(all, labels, *metrics);
}

}  // namespace

std::string render_metrics(const Json& status, const std::map<pid_t, std::uint64_t>& memory) {
  Exposition all;
  const Json* supervisor = find_member(status, "supervisor");
  if (supervisor != nullptr) {
    all.add("zeroth_supervisor_info", "gauge", "Always 1; which supervisor answers.",
            {{"version", field_or<std::string>(*supervisor, "version", "")}}, 1);
    all.add("zeroth_supervisor_uptime_seconds", "gauge", "Since it started.", {},
            field_or<double>(*supervisor, "uptime_s", 0));
  }
  if (const Json* workers = find_member(status, "workers"); workers != nullptr && workers->is_array()) {
    for (const Json& worker : *workers) add_worker(all, worker, memory);
  }
  return all.text();
}

}  // namespace zeroth
