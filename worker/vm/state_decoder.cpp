#include <algorithm>
#include <limits>
#include <set>

#include "common/text.h"
#include "worker/vm/json_reader.h"
#include "worker/vm/name_index.h"
#include "worker/vm/state_codec.h"

namespace zeroth {
namespace {

constexpr double kFinite = std::numeric_limits<double>::max();
constexpr double kLargestDivergence = 1e290;  // no sum of so many states can overflow
constexpr std::size_t kLongestName = 65535;   // bytes

template <class T>
using Members = std::span<const JsonMember<T>>;

std::string read_name(JsonReader& in) {
  std::string name(in.string());
  if (in.ok() && (name.empty() || name.size() > kLongestName)) in.fail("a name has 1 to 65,535 bytes");
  return name;
}

double read_positive(JsonReader& in) {
  const double value = in.real(kFinite);
  if (in.ok() && !(value > 0)) in.fail("must be above 0");
  return value;
}

template <class T>
std::vector<T> read_list(JsonReader& in, Members<T> members) {
  std::vector<T> list;
  in.array([&](std::size_t) { read_members(in, list.emplace_back(), members); });
  return list;
}

void read_projection(JsonReader& in, Record& record) {
  auto& projection = record.projection;
  in.object([&](std::string_view key) {
    const auto same = [&](const Projected& p) { return p.state == key; };
    if (std::any_of(projection.begin(), projection.end(), same)) return in.fail("given twice");
    if (projection.size() == Record::kProjected) return in.fail("a record projects at most 16 states");
    projection.push_back({std::string(key), in.real(kFinite)});
  });
}

constexpr JsonMember<Record> kRecord[] = {
    {"iteration", [](JsonReader& in, Record& r) { r.iteration = in.count(); }},
    {"timestamp", [](JsonReader& in, Record& r) { r.timestamp = in.real(kFinite); }},
    {"dominant_state", [](JsonReader& in, Record& r) { r.dominant_state = read_name(in); }},
    {"convergence", [](JsonReader& in, Record& r) { r.convergence = in.real(kFinite); }},
    {"field_convergence", [](JsonReader& in, Record& r) { r.field_convergence = in.real(kFinite); }},
    {"observation_pressure", [](JsonReader& in, Record& r) { r.observation_pressure = in.real(kFinite); }},
    {"projection", read_projection},
};

struct ReadEntry {
  LineageEntry entry;
  bool has_convergence = false, has_sources = false;
};

constexpr JsonMember<ReadEntry> kLineageEntry[] = {
    {"iteration", [](JsonReader& in, ReadEntry& e) { e.entry.iteration = in.count(); }},
    {"kind",
     [](JsonReader& in, ReadEntry& e) {
       const std::string_view kind = in.string();
       if (kind != "collapse" && kind != "merge") in.fail("expected \"collapse\" or \"merge\"");
       e.entry.kind = kind == "merge" ? LineageEntry::Kind::Merge : LineageEntry::Kind::Collapse;
     }},
    {"convergence",
     [](JsonReader& in, ReadEntry& e) { e.entry.convergence = in.real(kFinite), e.has_convergence = true; }, false},
    {"sources", [](JsonReader& in, ReadEntry& e) { in.numbers(e.entry.sources), e.has_sources = true; }, false},
};

void read_item(JsonReader& in, Observations& log) {
  Record record;
  read_members(in, record, Members<Record>(kRecord));
  log.push(std::move(record));
}

void read_item(JsonReader& in, Lineage& log) {
  ReadEntry read;
  read_members(in, read, Members<ReadEntry>(kLineageEntry));
  const bool merge = read.entry.kind == LineageEntry::Kind::Merge;
  if (!(merge ? read.has_sources : read.has_convergence)) in.fail("missing", merge ? "sources" : "convergence");
  log.push(std::move(read.entry));
}

template <class Log>
struct ReadLog {
  Log log;
  std::uint64_t total = 0;
};

template <class Log>
void read_log(JsonReader& in, Log& into) {
  using Read = ReadLog<Log>;
  static constexpr JsonMember<Read> kLog[] = {
      {"total", [](JsonReader& r, Read& read) { read.total = r.count(); }},
      {"records", [](JsonReader& r, Read& read) { r.array([&](std::size_t) { read_item(r, read.log); }); }},
  };
  Read read;
  read_members(in, read, Members<Read>(kLog));
  if (read.total < read.log.total()) in.fail("below the number of records", "total");
  read.log.set_total(read.total);
  into = std::move(read.log);
}

constexpr JsonMember<Dimension::Origin> kOrigin[] = {
    {"iteration", [](JsonReader& in, Dimension::Origin& o) { o.iteration = in.count(); }},
    {"sources", [](JsonReader& in, Dimension::Origin& o) { in.numbers(o.sources); }},
};

constexpr JsonMember<Dimension> kDimension[] = {
    {"id", [](JsonReader& in, Dimension& d) { d.id = in.count(); }},
    {"vector", [](JsonReader& in, Dimension& d) { in.numbers(d.vector); }},
    {"active", [](JsonReader& in, Dimension& d) { d.active = in.boolean(); }},
    {"resolved", [](JsonReader& in, Dimension& d) { d.resolved = in.boolean(); }},
    {"lineage", [](JsonReader& in, Dimension& d) { d.lineage = read_list(in, Members<Dimension::Origin>(kOrigin)); }},
};

constexpr JsonMember<ParkedState> kParkedState[] = {
    {"name", [](JsonReader& in, ParkedState& p) { p.name = read_name(in); }},
    {"divergence", [](JsonReader& in, ParkedState& p) { p.divergence = in.real(kLargestDivergence); }},
    {"support", [](JsonReader& in, ParkedState& p) { p.support = in.count(); }},
    {"reinforced_at", [](JsonReader& in, ParkedState& p) { p.reinforced_at = in.count(); }},
    {"iteration", [](JsonReader& in, ParkedState& p) { p.iteration = in.count(); }},
};

constexpr JsonMember<OverlayEntry> kOverlayEntry[] = {
    {"a", [](JsonReader& in, OverlayEntry& e) { e.a = read_name(in); }},
    {"b", [](JsonReader& in, OverlayEntry& e) { e.b = read_name(in); }},
    {"strength",
     [](JsonReader& in, OverlayEntry& e) {
       e.strength = in.real(1);
       if (e.strength < 0) in.fail("number out of range");
     }},
};

struct ReadState {
  State state;
  std::vector<Dimension> dimensions;
  std::uint64_t next_dimension = 0;
};

void read_schema(JsonReader& in, ReadState&) {
  const std::string schema(in.string());
  if (in.ok() && schema != kStateSchema) {
    in.fail("unknown schema '" + escape_control(schema) + "', this worker reads '" + std::string(kStateSchema) + "'");
  }
}

void read_states(JsonReader& in, ReadState& s) {
  in.array([&](std::size_t) { s.state.states.push_back(read_name(in)); });
}

constexpr JsonMember<ReadState> kState[] = {
    {"schema", read_schema},
    {"iteration", [](JsonReader& in, ReadState& s) { s.state.iteration = in.count(); }},
    {"epsilon", [](JsonReader& in, ReadState& s) { s.state.epsilon = read_positive(in); }},
    {"pressure", [](JsonReader& in, ReadState& s) { s.state.pressure = in.real(kFinite); }},
    {"states", read_states},
    {"divergence", [](JsonReader& in, ReadState& s) { in.numbers(s.state.divergence, kLargestDivergence); }},
    {"support", [](JsonReader& in, ReadState& s) { in.numbers(s.state.support); }},
    {"reinforced_at", [](JsonReader& in, ReadState& s) { in.numbers(s.state.reinforced_at); }},
    {"observations", [](JsonReader& in, ReadState& s) { read_log(in, s.state.observations); }},
    {"lineage", [](JsonReader& in, ReadState& s) { read_log(in, s.state.lineage); }},
    {"dimensions", [](JsonReader& in, ReadState& s) { s.dimensions = read_list(in, Members<Dimension>(kDimension)); }},
    {"next_dimension", [](JsonReader& in, ReadState& s) { s.next_dimension = in.count(); }},
    {"parked",
     [](JsonReader& in, ReadState& s) { s.state.parked = read_list(in, Members<ParkedState>(kParkedState)); }},
    {"overlay",
     [](JsonReader& in, ReadState& s) { s.state.overlay = read_list(in, Members<OverlayEntry>(kOverlayEntry)); }},
    {"halflife", [](JsonReader& in, ReadState& s) { s.state.halflife = read_positive(in); }},
    {"program_hash", [](JsonReader& in, ReadState& s) { s.state.program_hash = in.string(); }},
};

// What no single value shows. Each gives a path below the document, without its first '/', and what is wrong there.
struct Mistake {
  std::string where, what;
};

std::optional<Mistake> check_length(const std::string& where, std::size_t length, std::size_t states) {
  if (length == states) return std::nullopt;
  return Mistake{where, with_thousands(length) + " elements for " + with_thousands(states) + " states"};
}

std::optional<Mistake> check_states(const State& state, std::span<const std::string> known) {
  const std::size_t count = state.states.size();
  if (count == 0) return Mistake{"states", "no state"};
  if (count >= Dimensions::kNone) return Mistake{"states", "too many states"};
  if (auto mistake = check_length("divergence", state.divergence.size(), count)) return mistake;
  if (auto mistake = check_length("support", state.support.size(), count)) return mistake;
  if (auto mistake = check_length("reinforced_at", state.reinforced_at.size(), count)) return mistake;
  if (std::ranges::equal(state.states, known)) return std::nullopt;
  if (const auto twice = NameIndex(state.states).duplicate()) {
    return Mistake{"states/" + std::to_string(*twice), "'" + escape_control(state.states[*twice]) + "' is given twice"};
  }
  return std::nullopt;
}

std::optional<Mistake> check_dimensions(const ReadState& read) {
  std::uint64_t least = 0;
  for (std::size_t i = 0; i < read.dimensions.size(); ++i) {
    const std::string where = "dimensions/" + std::to_string(i);
    const Dimension& dimension = read.dimensions[i];
    if (dimension.id < least) return Mistake{where + "/id", "ids must ascend"};
    if (dimension.id >= read.next_dimension) return Mistake{"next_dimension", "not above every id"};
    if (auto mistake = check_length(where + "/vector", dimension.vector.size(), read.state.states.size()))
      return mistake;
    least = dimension.id + 1;
  }
  return std::nullopt;
}

std::optional<Mistake> check_names(const State& state) {
  std::set<std::string_view> parked;
  for (std::size_t i = 0; i < state.parked.size(); ++i) {
    if (!parked.insert(state.parked[i].name).second)
      return Mistake{"parked/" + std::to_string(i) + "/name", "given twice"};
  }
  std::set<std::pair<std::string_view, std::string_view>> pairs;
  for (std::size_t i = 0; i < state.overlay.size(); ++i) {
    const OverlayEntry& entry = state.overlay[i];
    const std::string where = "overlay/" + std::to_string(i);
    if (entry.a == entry.b) return Mistake{where, "a state cannot be aligned with itself"};
    if (!pairs.emplace(entry.a, entry.b).second) return Mistake{where, "given twice"};
  }
  return std::nullopt;
}

}  // namespace

Result<State> decode_state(std::string_view document, std::span<const std::string> known) {
  JsonReader in(document);
  ReadState read;
  read.state.states.reserve(known.size());
  read_members(in, read, Members<ReadState>(kState));
  in.finish();
  if (in.error()) return fail(std::move(*in.error()).in("state document"));
  auto mistake = check_states(read.state, known);
  if (!mistake) mistake = check_dimensions(read);
  if (!mistake) mistake = check_names(read.state);
  if (mistake) return fail("state document: /" + mistake->where + ": " + mistake->what);
  read.state.dimensions.assign(std::move(read.dimensions), read.next_dimension);
  return std::move(read.state);
}

}  // namespace zeroth
