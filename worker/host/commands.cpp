#include "worker/host/commands.h"

#include <cerrno>

#include "common/json_fields.h"
#include "common/text.h"
#include "worker/vm/history_explain.h"
#include "worker/vm/queries.h"

namespace zeroth {
namespace {

using Outcome = tl::expected<Json, Refusal>;

tl::unexpected<Refusal> bad_params(std::string message, std::string hint = "") {
  return tl::unexpected(Refusal{ErrorCode::BadParams, std::move(message), std::move(hint), nullptr});
}

// The VM's own refusals: ENOENT is a name or id that is not there, EINVAL a value out of range.
tl::unexpected<Refusal> refused(const Error& error) {
  return tl::unexpected(
      Refusal{error.code == ENOENT ? ErrorCode::NotFound : ErrorCode::BadParams, error.message, "", nullptr});
}

// One optional member into `target`; false with `problem` set if it has another type.
template <class T>
Status take(const Json& params, std::string_view name, T& target) {
  auto value = optional_field<T>(params, name);
  if (!value) return fail(std::move(value.error()));
  if (*value) target = std::move(**value);
  return {};
}

constexpr std::int64_t kMaxLimit = 1'000;

Status take_limit(const Json& params, std::size_t& limit) {
  auto asked = static_cast<std::int64_t>(limit);
  if (Status taken = take(params, "limit", asked); !taken) return taken;
  if (asked < 0 || asked > kMaxLimit) return fail("limit: expected 0 to " + std::to_string(kMaxLimit));
  limit = static_cast<std::size_t>(asked);
  return {};
}

Status take_offset(const Json& params, std::size_t& offset) {
  std::int64_t asked = 0;
  if (Status taken = take(params, "offset", asked); !taken) return taken;
  if (asked < 0) return fail("offset: expected a whole number that is not negative");
  offset = static_cast<std::size_t>(asked);
  return {};
}

Result<Page> take_page(const Json& params) {
  Page page;
  if (Status taken = take_limit(params, page.limit); !taken) return fail(taken.error());
  if (Status taken = take_offset(params, page.offset); !taken) return fail(taken.error());
  return page;
}

Json projection_json(const std::vector<Projected>& projection) {
  Json object = Json::object();
  for (const Projected& entry : projection) object.push_back({entry.state, entry.divergence});
  return object;
}

Json record_json(const Record& record) {
  return {{"iteration", record.iteration},
          {"timestamp", record.timestamp},
          {"dominant_state", record.dominant_state},
          {"convergence", record.convergence},
          {"field_convergence", record.field_convergence},
          {"observation_pressure", record.observation_pressure},
          {"projection", projection_json(record.projection)}};
}

Outcome observe(Vm& vm, const Json& params, double timestamp) {
  ObserveRequest request;
  request.timestamp = timestamp;
  auto target = optional_field<std::string>(params, "target");
  if (!target) return bad_params(target.error().message);
  if (*target) request.target = **target;
  if (Status taken = take(params, "passive", request.passive); !taken) return bad_params(taken.error().message);
  if (Status taken = take_limit(params, request.limit); !taken) return bad_params(taken.error().message);
  if (Status taken = take_offset(params, request.offset); !taken) return bad_params(taken.error().message);
  auto seen = vm.observe(request);
  if (!seen) return refused(seen.error());
  Json result = record_json(seen->seen);
  result.erase("timestamp");
  result["recorded"] = seen->recorded;
  return result;
}

Outcome history(Vm& vm, const Json& params, double) {
  auto page = take_page(params);
  if (!page) return bad_params(page.error().message);
  std::string type = "observation";
  if (Status taken = take(params, "type", type); !taken) return bad_params(taken.error().message);
  Json records = Json::array();
  if (type == "observation") {
    const ObservationHistory found = observation_history(vm, *page);
    for (const Record* record : found.records) records.push_back(record_json(*record));
    return Json{{"total", found.total}, {"retained", found.retained}, {"records", std::move(records)}};
  }
  if (type != "collapse" && type != "merge") return bad_params("type: expected observation, collapse or merge");
  const auto kind = type == "collapse" ? LineageEntry::Kind::Collapse : LineageEntry::Kind::Merge;
  const LineageHistory found = lineage_history(vm, kind, *page);
  for (const LineageEntry* entry : found.records) {
    Json record = {{"iteration", entry->iteration}, {"kind", type}};
    if (kind == LineageEntry::Kind::Collapse) {
      record["convergence"] = entry->convergence;
    } else {
      record["sources"] = entry->sources;
    }
    records.push_back(std::move(record));
  }
  return Json{{"total", found.total}, {"retained", found.retained}, {"records", std::move(records)}};
}

Json changes_json(const std::vector<Transition::Change>& changes) {
  Json list = Json::array();
  for (const Transition::Change& change : changes) list.push_back({{"state", change.state}, {"by", change.by}});
  return list;
}

Outcome history_explain(Vm& vm, const Json& params, double) {
  std::size_t limit = 20;
  if (Status taken = take_limit(params, limit); !taken) return bad_params(taken.error().message);
  const Explanation told = explain_history(vm.state(), limit);
  Json transitions = Json::array();
  for (const Transition& t : told.transitions) {
    transitions.push_back({{"from_iteration", t.from_iteration},
                           {"to_iteration", t.to_iteration},
                           {"from", t.from},
                           {"to", t.to},
                           {"gained", changes_json(t.gained)},
                           {"lost", changes_json(t.lost)},
                           {"collapses", t.collapses},
                           {"merges", t.merges}});
  }
  return Json{{"text", told.text}, {"transitions", std::move(transitions)}};
}

Json state_json(const StateRow& row) {
  return {{"name", row.name}, {"divergence", row.divergence}, {"tier", row.tier}, {"support", row.support}};
}

Outcome state_list_command(Vm& vm, const Json& params, double) {
  auto page = take_page(params);
  if (!page) return bad_params(page.error().message);
  Json states = Json::array();
  for (const StateRow& row : state_list(vm, *page)) states.push_back(state_json(row));
  return Json{{"total", vm.state().states.size()}, {"states", std::move(states)}};
}

Outcome state(Vm& vm, const Json& params, double) {
  auto name = required_field<std::string>(params, "name");
  if (!name) return bad_params(name.error().message);
  auto amount = optional_field<double>(params, "inject");
  if (!amount) return bad_params(amount.error().message);
  if (*amount) {
    if (Status injected = vm.inject(*name, **amount); !injected) return refused(injected.error());
  }
  auto detail = state_detail(vm, *name);
  if (!detail) return refused(detail.error());
  Json result = state_json(detail->row);
  result["reinforced_at"] = detail->reinforced_at;
  Json dimensions = Json::array();
  for (const StateDetail::Entry& entry : detail->dimensions) {
    dimensions.push_back(
        {{"id", entry.id}, {"entry", entry.entry}, {"active", entry.active}, {"resolved", entry.resolved}});
  }
  result["dimensions"] = std::move(dimensions);
  return result;
}

Outcome align_list_command(Vm& vm, const Json& params, double) {
  auto page = take_page(params);
  if (!page) return bad_params(page.error().message);
  const AlignmentList list = align_list(vm, *page);
  Json alignments = Json::array();
  for (const AlignmentRow& row : list.rows) {
    alignments.push_back({{"a", row.a}, {"b", row.b}, {"strength", row.strength}, {"live", row.live}});
  }
  return Json{{"total", list.total}, {"alignments", std::move(alignments)}};
}

Outcome align(Vm& vm, const Json& params, double) {
  auto a = required_field<std::string>(params, "a");
  if (!a) return bad_params(a.error().message);
  auto b = required_field<std::string>(params, "b");
  if (!b) return bad_params(b.error().message);
  double strength = 0.5;
  if (Status taken = take(params, "strength", strength); !taken) return bad_params(taken.error().message);
  if (Status set = vm.set_overlay(*a, *b, strength); !set) return refused(set.error());
  return Json{{"a", *a}, {"b", *b}, {"strength", strength}, {"live", true}};
}

Outcome converge(Vm& vm, const Json& params, double) {
  bool check = false, commit = false;
  if (Status taken = take(params, "check", check); !taken) return bad_params(taken.error().message);
  if (Status taken = take(params, "commit", commit); !taken) return bad_params(taken.error().message);
  if (check && commit) return bad_params("check and commit exclude each other");
  const Convergence found = vm.converge(commit);
  return Json{{"convergence", found.convergence}, {"epsilon", found.epsilon}, {"converged", found.converged}};
}

Outcome potential_command(Vm& vm, const Json& params, double) {
  auto amount = optional_field<double>(params, "inject");
  if (!amount) return bad_params(amount.error().message);
  auto name = optional_field<std::string>(params, "state");
  if (!name) return bad_params(name.error().message);
  if (*amount) {
    if (!*name)
      return bad_params("inject needs a state", "name the state that gets it: {\"inject\": 0.5, \"state\": \"HELLO\"}");
    if (Status injected = vm.inject(**name, **amount); !injected) return refused(injected.error());
  }
  const Potential found = potential(vm);
  return Json{{"states", found.states}, {"sum", found.sum}};
}

Json dimension_json(const Dimension& dimension) {
  Json lineage = Json::array();
  for (const Dimension::Origin& origin : dimension.lineage) {
    lineage.push_back({{"iteration", origin.iteration}, {"sources", origin.sources}});
  }
  return {{"id", dimension.id},
          {"active", dimension.active},
          {"resolved", dimension.resolved},
          {"lineage", std::move(lineage)}};
}

Outcome dimension_list(Vm& vm, const Json& params, double) {
  auto page = take_page(params);
  if (!page) return bad_params(page.error().message);
  const std::vector<Dimension>& all = vm.state().dimensions.all();
  Json dimensions = Json::array();
  for (std::size_t i = page->offset; i < all.size() && dimensions.size() < page->limit; ++i)
    dimensions.push_back(dimension_json(all[i]));
  return Json{{"total", all.size()}, {"dimensions", std::move(dimensions)}};
}

Outcome dimension(Vm& vm, const Json& params, double) {
  auto id = required_field<std::uint64_t>(params, "id");
  if (!id) return bad_params(id.error().message);
  auto found = find_dimension(vm, *id);
  if (!found) return refused(found.error());
  Json result = dimension_json(**found);
  Json entries = Json::object();
  const std::vector<std::string>& names = vm.state().states;
  for (std::size_t i = 0; i < names.size() && i < static_cast<std::size_t>(kMaxLimit); ++i) {
    entries.push_back({names[i], static_cast<int>((*found)->vector[i])});
  }
  result["vector"] = std::move(entries);
  return result;
}

struct Command {
  std::string_view name;
  std::string_view help;
  std::vector<std::pair<std::string_view, std::string_view>> params;
  Outcome (*run)(Vm&, const Json&, double timestamp);
};

const std::vector<Command>& commands() {
  static const std::vector<Command> table = {
      {"observe",
       "look at the field, which notices",
       {{"target", "one state"}, {"passive", "unnoticed"}, {"limit", "states shown"}, {"offset", "skip"}},
       observe},
      {"history",
       "what was observed",
       {{"limit", "how many"}, {"offset", "skip"}, {"type", "observation|collapse|merge"}},
       history},
      {"history-explain", "how the dominant state changed, in sentences", {{"limit", "how many"}}, history_explain},
      {"state-list", "all states", {{"limit", "how many"}, {"offset", "skip"}}, state_list_command},
      {"state", "one state", {{"name", "which"}, {"inject", "add to its divergence"}}, state},
      {"align-list", "all alignments", {{"limit", "how many"}, {"offset", "skip"}}, align_list_command},
      {"align",
       "align two states until the program changes",
       {{"a", "state"}, {"b", "state"}, {"strength", "0 to 1"}},
       align},
      {"converge", "has the field converged?", {{"check", "only look"}, {"commit", "collapse if so"}}, converge},
      {"potential",
       "sum of all divergences",
       {{"inject", "add this much"}, {"state", "to this state"}},
       potential_command},
      {"dimension-list", "all dimensions", {{"limit", "how many"}, {"offset", "skip"}}, dimension_list},
      {"dimension", "one dimension", {{"id", "which"}}, dimension},
  };
  return table;
}

}  // namespace

std::vector<CommandInfo> zero_commands() {
  std::vector<CommandInfo> infos;
  for (const Command& command : commands()) {
    Json params = Json::object();
    for (const auto& [name, help] : command.params) params[std::string(name)] = help;
    infos.push_back({std::string(command.name), std::string(command.help), std::move(params)});
  }
  return infos;
}

Outcome run_zero_command(Vm& vm, std::string_view name, const Json& params, double timestamp) {
  std::vector<std::string_view> names;
  for (const Command& command : commands()) {
    if (command.name == name) return command.run(vm, params, timestamp);
    names.push_back(command.name);
  }
  const std::string_view meant = nearest(name, names);
  return tl::unexpected(Refusal{ErrorCode::UnknownCommand, "unknown command '" + escape_control(name) + "'",
                                meant.empty() ? "" : "did you mean '" + std::string(meant) + "'?", nullptr});
}

}  // namespace zeroth
