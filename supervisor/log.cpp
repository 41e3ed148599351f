#include "supervisor/log.h"

#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/sinks/rotating_file_sink.h>
#include <spdlog/spdlog.h>

#include <cstdio>
#include <vector>

#include "common/clock.h"
#include "common/json_fields.h"

namespace zeroth {
namespace {

constexpr std::size_t kLogBytes = 5 << 20;
constexpr std::size_t kLogFiles = 3;

spdlog::level::level_enum level_of(std::string_view type, const Json& data) {
  if (type == "beat") return spdlog::level::trace;
  if (type == "checkpoint" && !data.contains("degraded")) return spdlog::level::debug;
  if (type == "crash" || type == "rejected" || type == "snapshot-rejected") return spdlog::level::warn;
  if (type == "env" && field_or<std::string>(data, "verdict", "") != "ok") return spdlog::level::warn;
  if (type == "log") return spdlog::level::from_str(field_or<std::string>(data, "level", "info"));
  return spdlog::level::info;
}

}  // namespace

struct Log::Sinks {
  std::shared_ptr<spdlog::logger> logger;
  bool json_to_stderr = false;
  int verbosity = 0;
};

Log::~Log() = default;

Result<std::unique_ptr<Log>> Log::open(const std::string& path, const Options& options, EventHub& events) {
  std::unique_ptr<Log> log(new Log);
  log->path_ = path;
  log->options_ = &options;
  log->sinks_ = std::make_unique<Sinks>();
  log->sinks_->json_to_stderr = options.log_format == LogFormat::JsonLines;
  log->sinks_->verbosity = options.verbosity;
  if (Status opened = log->open_sinks(); !opened) return fail(std::move(opened.error()));
  log->subscription_ =
      events.subscribe([raw = log.get()](std::string_view type, const Json& data) { raw->on_event(type, data); });
  return log;
}

Status Log::open_sinks() {
  std::vector<spdlog::sink_ptr> sinks;
  try {
    sinks.push_back(std::make_shared<spdlog::sinks::rotating_file_sink_st>(path_, kLogBytes, kLogFiles));
    if (!options_->log_file.empty()) {
      sinks.push_back(std::make_shared<spdlog::sinks::basic_file_sink_st>(options_->log_file));
    }
  } catch (const spdlog::spdlog_ex& error) {
    return fail(std::string("log: ") + error.what());
  }
  auto logger = std::make_shared<spdlog::logger>("zeroth", sinks.begin(), sinks.end());
  logger->set_pattern("%Y-%m-%dT%H:%M:%S.%eZ %l %v", spdlog::pattern_time_type::utc);
  logger->set_level(spdlog::level::info);
  logger->flush_on(spdlog::level::info);
  logger->set_error_handler([](const std::string&) {});  // a full disk must not fill the terminal too
  sinks_->logger = std::move(logger);
  return {};
}

void Log::reopen() {
  (void)open_sinks();
}

void Log::on_event(std::string_view type, const Json& data) {
  const auto level = level_of(type, data);
  if (sinks_->logger->should_log(level)) sinks_->logger->log(level, "{} {}", type, dump(data));
  const auto least = sinks_->verbosity < 0    ? spdlog::level::warn
                     : sinks_->verbosity == 0 ? spdlog::level::info
                     : sinks_->verbosity == 1 ? spdlog::level::debug
                                              : spdlog::level::trace;
  if (!sinks_->json_to_stderr || level < least) return;
  const std::string line = dump(Json{{"at", rfc3339(wall_now())}, {"event", type}, {"data", data}}) + "\n";
  std::fwrite(line.data(), 1, line.size(), stderr);
}

}  // namespace zeroth
