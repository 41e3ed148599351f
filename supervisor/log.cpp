#include "supervisor/log.h"

#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/sinks/rotating_file_sink.h>
#include <spdlog/spdlog.h>

#include <chrono>
#include <cstdio>
#include <functional>
#include <vector>

#include "common/clock.h"
#include "common/json_fields.h"

namespace zeroth {
namespace {

constexpr std::size_t kLogBytes = 5 << 20;
constexpr std::size_t kLogFiles = 3;
constexpr Milliseconds kLastLines{1'000};
constexpr const char* kPattern = "%Y-%m-%dT%H:%M:%S.%eZ %l %v";

spdlog::level::level_enum level_of(std::string_view type, const Json& data) {
  if (type == "beat") return spdlog::level::trace;
  if (type == "checkpoint" && !data.contains("degraded")) return spdlog::level::debug;
  if (type == "crash" || type == "rejected" || type == "snapshot-rejected") return spdlog::level::warn;
  if (type == "env" && field_or<std::string>(data, "verdict", "") != "ok") return spdlog::level::warn;
  if (type == "log") return spdlog::level::from_str(field_or<std::string>(data, "level", "info"));
  return spdlog::level::info;
}

// The files, on the thread that writes them.
struct Sinks {
  std::string path, other;  // "" for none
  std::vector<spdlog::sink_ptr> open_ones;

  Status open() {
    std::vector<spdlog::sink_ptr> sinks;
    try {
      sinks.push_back(std::make_shared<spdlog::sinks::rotating_file_sink_st>(path, kLogBytes, kLogFiles));
      if (!other.empty()) sinks.push_back(std::make_shared<spdlog::sinks::basic_file_sink_st>(other));
    } catch (const spdlog::spdlog_ex& error) {
      return fail(std::string("log: ") + error.what());
    }
    for (const auto& sink : sinks)
      sink->set_formatter(std::make_unique<spdlog::pattern_formatter>(kPattern, spdlog::pattern_time_type::utc));
    open_ones = std::move(sinks);
    return {};
  }

  // A full disk must not fill the terminal too.
  void each(const std::function<void(spdlog::sinks::sink&)>& call) const {
    for (const auto& sink : open_ones) {
      try {
        call(*sink);
      } catch (const spdlog::spdlog_ex&) {
      }
    }
  }
};

LogQueue::Line dropped_line(std::uint64_t count) {
  return {wall_now(), spdlog::level::warn,
          "log " + dump(Json{{"level", "warning"},
                             {"message",
                              std::to_string(count) + " lines of this log were dropped: its disk did not keep up"}})};
}

}  // namespace

Log::~Log() {
  if (queue_) (void)queue_->flush(kLastLines);
}

Result<std::unique_ptr<Log>> Log::open(const std::string& path, const Options& options, EventHub& events) {
  const auto sinks = std::make_shared<Sinks>(Sinks{path, options.log_file, {}});
  if (Status opened = sinks->open(); !opened) return fail(std::move(opened.error()));
  LogQueue::Writer writer;
  writer.write = [sinks](const LogQueue::Line& line) {
    const auto at = std::chrono::time_point_cast<spdlog::log_clock::duration>(line.at);
    const auto level = static_cast<spdlog::level::level_enum>(line.level);
    sinks->each([&](spdlog::sinks::sink& sink) { sink.log({at, {}, "zeroth", level, line.text}); });
  };
  writer.flush = [sinks] { sinks->each([](spdlog::sinks::sink& sink) { sink.flush(); }); };
  writer.reopen = [sinks] { (void)sinks->open(); };
  writer.dropped = dropped_line;
  std::unique_ptr<Log> log(new Log);
  log->options_ = &options;
  log->queue_ = std::make_unique<LogQueue>(std::move(writer));
  log->subscription_ =
      events.subscribe([raw = log.get()](std::string_view type, const Json& data) { raw->on_event(type, data); });
  return log;
}

void Log::reopen() {
  queue_->reopen();
}

bool Log::flush(Milliseconds patience) {
  return queue_->flush(patience);
}

void Log::on_event(std::string_view type, const Json& data) {
  const auto level = level_of(type, data);
  if (level >= spdlog::level::info) queue_->push({wall_now(), level, std::string(type) + " " + dump(data)});
  const int verbosity = options_->verbosity;
  const auto least = verbosity < 0    ? spdlog::level::warn
                     : verbosity == 0 ? spdlog::level::info
                     : verbosity == 1 ? spdlog::level::debug
                                      : spdlog::level::trace;
  if (options_->log_format != LogFormat::JsonLines || level < least) return;
  const std::string line = dump(Json{{"at", rfc3339(wall_now())}, {"event", type}, {"data", data}}) + "\n";
  std::fwrite(line.data(), 1, line.size(), stderr);
}

}  // namespace zeroth
