#include "worker/vm/state_codec.h"

namespace zeroth {
namespace {

void write(JsonWriter& out, const Record& record) {
  out.begin_object();
  out.key("iteration"), out.number(record.iteration);
  out.key("timestamp"), out.number(record.timestamp);
  out.key("dominant_state"), out.string(record.dominant_state);
  out.key("convergence"), out.number(record.convergence);
  out.key("field_convergence"), out.number(record.field_convergence);
  out.key("observation_pressure"), out.number(record.observation_pressure);
  out.key("projection"), out.begin_object();
  for (const Projected& projected : record.projection) out.key(projected.state), out.number(projected.divergence);
  out.end_object();
  out.end_object();
}

void write(JsonWriter& out, const LineageEntry& entry) {
  out.begin_object();
  out.key("iteration"), out.number(entry.iteration);
  switch (entry.kind) {
    case LineageEntry::Kind::Collapse:
      out.key("kind"), out.string("collapse");
      out.key("convergence"), out.number(entry.convergence);
      break;
    case LineageEntry::Kind::Merge:
      out.key("kind"), out.string("merge");
      out.key("sources"), out.numbers(entry.sources);
      break;
  }
  out.end_object();
}

void write(JsonWriter& out, const Dimension::Origin& origin) {
  out.begin_object();
  out.key("iteration"), out.number(origin.iteration);
  out.key("sources"), out.numbers(origin.sources);
  out.end_object();
}

template <class Items>
void write_list(JsonWriter& out, std::string_view name, const Items& items);

void write(JsonWriter& out, const Dimension& dimension) {
  out.begin_object();
  out.key("id"), out.number(dimension.id);
  out.key("vector"), out.numbers(dimension.vector);
  out.key("active"), out.boolean(dimension.active);
  out.key("resolved"), out.boolean(dimension.resolved);
  write_list(out, "lineage", dimension.lineage);
  out.end_object();
}

void write(JsonWriter& out, const ParkedState& parked) {
  out.begin_object();
  out.key("name"), out.string(parked.name);
  out.key("divergence"), out.number(parked.divergence);
  out.key("support"), out.number(parked.support);
  out.key("reinforced_at"), out.number(parked.reinforced_at);
  out.key("iteration"), out.number(parked.iteration);
  out.end_object();
}

void write(JsonWriter& out, const OverlayEntry& entry) {
  out.begin_object();
  out.key("a"), out.string(entry.a);
  out.key("b"), out.string(entry.b);
  out.key("strength"), out.number(entry.strength);
  out.end_object();
}

void write(JsonWriter& out, const std::string& name) {
  out.string(name);
}

template <class Items>
void write_list(JsonWriter& out, std::string_view name, const Items& items) {
  out.key(name), out.begin_array();
  for (const auto& item : items) write(out, item);
  out.end_array();
}

template <class Log>
void write_log(JsonWriter& out, std::string_view name, const Log& log) {
  out.key(name), out.begin_object();
  out.key("total"), out.number(log.total());
  write_list(out, "records", log.items());
  out.end_object();
}

void write(JsonWriter& out, const State& state) {
  out.begin_object();
  out.key("schema"), out.string(kStateSchema);
  out.key("iteration"), out.number(state.iteration);
  out.key("epsilon"), out.number(state.epsilon);
  out.key("pressure"), out.number(state.pressure);
  write_list(out, "states", state.states);
  out.key("divergence"), out.numbers(state.divergence);
  out.key("support"), out.numbers(state.support);
  out.key("reinforced_at"), out.numbers(state.reinforced_at);
  write_log(out, "observations", state.observations);
  write_log(out, "lineage", state.lineage);
  write_list(out, "dimensions", state.dimensions.all());
  out.key("next_dimension"), out.number(state.dimensions.next_id());
  write_list(out, "parked", state.parked);
  write_list(out, "overlay", state.overlay);
  out.key("halflife"), out.number(state.halflife);
  out.key("program_hash"), out.string(state.program_hash);
  out.end_object();
}

// Somewhat above the length of the document, so that a large text is not moved while it grows.
std::size_t expected_size(const State& state) {
  constexpr std::size_t kAnyState = 4096, kPerName = 12, kPerRecord = 1024;
  const std::size_t elements = state.states.size();
  return kAnyState + elements * (kPerName + 3 * sizeof(double) * 4 / 3 + state.dimensions.all().size() * 4 / 3) +
         state.observations.items().size() * kPerRecord;
}

}  // namespace

Status encode_state(const State& state, const Sink& sink) {
  std::string buffer;
  JsonWriter out(buffer, sink);
  write(out, state);
  return out.finish();
}

std::string encode_state(const State& state) {
  std::string text;
  text.reserve(expected_size(state));
  JsonWriter out(text);
  write(out, state);
  return text;
}

}  // namespace zeroth
