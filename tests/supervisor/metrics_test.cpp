#include "supervisor/metrics.h"

#include <doctest/doctest.h>

#include <set>
#include <sstream>
#include <vector>

namespace zeroth {
namespace {

Json status_with(const std::vector<Json>& workers) {
  return {{"supervisor", {{"version", "1.2"}, {"uptime_s", 3.5}}}, {"workers", workers}};
}

Json worker_named(const std::string& name) {
  return {{"name", name},
          {"state", "ready"},
          {"pid", 4242},
          {"generation", 7},
          {"uptime_s", 1.25},
          {"restarts", 2},
          {"reloads", {{"ok", 5}, {"rejected", 1}}},
          {"last_reload", {{"ms", {{"total", 12.5}, {"pause", 0.5}}}}},
          {"snapshot", {{"sequence", 9}, {"bytes", 4096}, {"age_s", 0.5}, {"count", 3}, {"degraded", nullptr}}},
          {"loss_window_s", 1.5},
          {"health", nullptr},
          {"beat", {{"iteration", 1'000'000}, {"metrics", {{"visits", 3}}}}}};
}

bool has_line(const std::string& text, const std::string& line) {
  return ("\n" + text).find("\n" + line + "\n") != std::string::npos;
}

}  // namespace

TEST_CASE("metrics: what status says of a worker, in the units of Prometheus") {
  const std::string text = render_metrics(status_with({worker_named("shop")}), {{4242, 12'345'678}, {1, 1}});
  for (const char* line : {"zeroth_supervisor_info{version=\"1.2\"} 1",
                           "zeroth_supervisor_uptime_seconds 3.5",
                           "# TYPE zeroth_worker_up gauge",
                           "zeroth_worker_up{worker=\"shop\"} 1",
                           "zeroth_worker_state{worker=\"shop\",state=\"ready\"} 1",
                           "zeroth_worker_state{worker=\"shop\",state=\"backoff\"} 0",
                           "zeroth_worker_generation{worker=\"shop\"} 7",
                           "# TYPE zeroth_worker_restarts_total counter",
                           "zeroth_worker_restarts_total{worker=\"shop\"} 2",
                           "zeroth_worker_reloads_total{worker=\"shop\",verdict=\"ok\"} 5",
                           "zeroth_worker_reloads_total{worker=\"shop\",verdict=\"rejected\"} 1",
                           "zeroth_worker_last_reload_seconds{worker=\"shop\"} 0.0125",
                           "zeroth_worker_snapshot_sequence{worker=\"shop\"} 9",
                           "zeroth_worker_snapshot_bytes{worker=\"shop\"} 4096",
                           "zeroth_worker_snapshot_age_seconds{worker=\"shop\"} 0.5",
                           "zeroth_worker_snapshot_degraded{worker=\"shop\"} 0",
                           "zeroth_worker_loss_window_seconds{worker=\"shop\"} 1.5",
                           "zeroth_worker_resident_bytes{worker=\"shop\"} 12345678",
                           "zeroth_worker_iteration{worker=\"shop\"} 1000000",
                           "zeroth_beat_visits{worker=\"shop\"} 3"}) {
    CAPTURE(line);
    CAPTURE(text);
    CHECK(has_line(text, line));
  }
  CHECK(text.find("health") == std::string::npos);
}

TEST_CASE("metrics: of one that is down only what there is") {
  Json worker = worker_named("shop");
  worker["state"] = "failed";
  for (const char* gone : {"pid", "generation", "uptime_s", "last_reload"}) worker[gone] = nullptr;
  worker["snapshot"] = {{"sequence", nullptr}, {"degraded", "no space"}};
  const std::string text = render_metrics(status_with({worker}), {{4242, 1}});
  CHECK(has_line(text, "zeroth_worker_up{worker=\"shop\"} 0"));
  CHECK(has_line(text, "zeroth_worker_state{worker=\"shop\",state=\"failed\"} 1"));
  CHECK(has_line(text, "zeroth_worker_snapshot_degraded{worker=\"shop\"} 1"));
  for (const char* absent : {"generation{", "snapshot_sequence{", "resident_bytes{", "last_reload"}) {
    CAPTURE(absent);
    CHECK(text.find(absent) == std::string::npos);
  }
}

TEST_CASE("metrics: each name is declared once, and samples of one name stand together") {
  const std::string text = render_metrics(status_with({worker_named("a"), worker_named("b")}), {});
  std::set<std::string> ended;
  std::string current, line;
  std::istringstream lines(text);
  while (std::getline(lines, line)) {
    CAPTURE(line);
    const bool head = line.starts_with("# HELP ");
    const std::string name = head                          ? line.substr(7, line.find(' ', 7) - 7)
                             : line.starts_with("# TYPE ") ? line.substr(7, line.find(' ', 7) - 7)
                                                           : line.substr(0, line.find_first_of("{ "));
    if (head) {
      CHECK(ended.insert(current).second);
      CHECK(ended.count(name) == 0);
      current = name;
    }
    CHECK(name == current);
  }
}

TEST_CASE("metrics: whatever a worker calls its numbers, and whatever they are, the text stays what it is") {
  Json worker = worker_named("shop");
  worker["name"] = "a\"b\\c\nd";
  worker["beat"]["metrics"] = {{"hits per-second", 1},
                               {"hits_per_second", 2},
                               {"\n# TYPE x", 3},
                               {"größe", 4},
                               {"", 5},
                               {"text", "no number"},
                               {"big", 1e300},
                               {"small", -0.25},
                               {std::string(500, 'n'), 6.5},
                               {"most", 1e15}};
  const std::string text = render_metrics(status_with({worker}), {});
  const std::string label = "{worker=\"a\\\"b\\\\c\\nd\"} ";
  CHECK(has_line(text, "zeroth_worker_up" + label + "1"));
  CHECK(has_line(text, "zeroth_beat_hits_per_second" + label + "1"));  // once: the first of both
  CHECK_FALSE(has_line(text, "zeroth_beat_hits_per_second" + label + "2"));
  CHECK(has_line(text, "zeroth_beat____TYPE_x" + label + "3"));
  CHECK(has_line(text, "zeroth_beat_" + label + "5"));
  CHECK(has_line(text, "zeroth_beat_big" + label + "1e+300"));
  CHECK(has_line(text, "zeroth_beat_small" + label + "-0.25"));
  CHECK(has_line(text, "zeroth_beat_most" + label + "1000000000000000"));
  CHECK(has_line(text, "zeroth_beat_" + std::string(100, 'n') + label + "6.5"));
  CHECK(text.find("zeroth_beat_text") == std::string::npos);
}

TEST_CASE("metrics: a worker cannot add names without end") {
  Json worker = worker_named("shop");
  for (int i = 0; i < 2'000; ++i) worker["beat"]["metrics"]["m" + std::to_string(i)] = i;
  const std::string text = render_metrics(status_with({worker}), {});
  std::size_t names = 0;
  for (std::size_t at = text.find("# TYPE zeroth_beat_"); at != std::string::npos;
       at = text.find("# TYPE zeroth_beat_", at + 1))
    ++names;
  CHECK(names == 500);
}

}  // namespace zeroth
