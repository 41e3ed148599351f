#include "supervisor/fleet/fleet_source.h"

#include <algorithm>
#include <filesystem>
#include <span>
#include <system_error>
#include <utility>

#include "common/files.h"
#include "common/json_reader.h"
#include "common/text.h"
#include "supervisor/instance/claim.h"

namespace zeroth {
namespace {

constexpr std::size_t kMostTold = 50;  // mistakes of one file

}  // namespace

FleetSource::FleetSource(Loop& loop, Options base, EventHub& events, std::function<void(FleetFile)> on_file)
    : loop_(loop), base_(std::move(base)), events_(events), on_file_(std::move(on_file)) {
  std::error_code error;
  path_ = std::filesystem::absolute(base_.fleet, error).lexically_normal().string();
}

std::string FleetSource::shown() const {
  return escape_control(base_.fleet);
}

tl::expected<FleetFile, std::string> FleetSource::read() {
  const auto text = read_file(path_, kMaxFleetFile);
  if (!text) return tl::unexpected(text.error().message);
  text_ = *text;
  auto file = parse_fleet_file(text_, path_, base_);
  if (file) return std::move(*file);
  std::string told = render_text(base_.fleet, file.error());
  if (told.ends_with('\n')) told.pop_back();
  return tl::unexpected(std::move(told));
}

void FleetSource::watch() {
  FileWatcher::Options options;
  options.scope = std::make_shared<const WatchScope>(std::vector<std::string>{path_});
  options.poll = base_.poll;
  options.poll_interval = base_.watch_interval;
  watcher_ = std::make_unique<FileWatcher>(
      loop_, options, [this](const Changes&) { look(false); },
      [this](const std::string& note) {
        events_.publish("log", {{"level", "warning"}, {"message", note}});
      });
  watcher_->start();
}

void FleetSource::read_again() {
  look(true);
}

void FleetSource::look(bool also_same) {
  const auto text = read_file(path_, kMaxFleetFile);
  if (!text && text.error().code == ENOENT && !also_same) return;  // between the two steps of an editor's save
  if (text && *text == text_ && !also_same) return;
  text_ = text ? *text : "";
  if (!text) return complain({diagnostic_of_file(text.error().message)});
  if (auto owned = check_program(path_); !owned) return complain({diagnostic_of_file(owned.error().message)});
  auto file = parse_fleet_file(text_, path_, base_);
  if (!file) return complain(file.error());
  if (wrong_since_) {
    const std::string after = human_duration(monotonic_now() - *wrong_since_);
    events_.publish("log", {{"level", "info"}, {"message", shown() + " is right again after " + after}});
    wrong_since_.reset();
  }
  on_file_(std::move(*file));
}

void FleetSource::complain(const Diagnostics& wrong) {
  if (!wrong_since_) wrong_since_ = monotonic_now();
  auto json = parse_json(render_json(base_.fleet, std::span(wrong).first(std::min(wrong.size(), kMostTold))));
  events_.publish("log", {{"level", "error"},
                          {"message", shown() + " is wrong: everything goes on as before"},
                          {"diagnostics", json ? std::move(json->value) : Json::array()}});
}

}  // namespace zeroth
