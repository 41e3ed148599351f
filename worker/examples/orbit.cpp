// A simulation that is never started again: planets around a sun, which go on from where they are after every edit.
//
//     g++ -std=c++17 -O2 -pthread -o orbit worker/examples/orbit.cpp
//     zeroth-supervise --protocol --watch orbit -- ./orbit
//     zerothctl status                         the iteration, and energy and time as metrics
//     zerothctl planets
//     zerothctl kick --name earth --by 0.1
//
// Change kStep or the law of gravity, build again, and the planets take the new course from where they stand.
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <string>
#include <vector>

#include "../sdk/zeroth.hpp"  // copied beside your program: "zeroth.hpp"

constexpr double kStep = 0.0005;         // years
constexpr double kTurn = 0.02;           // seconds between the turns that follow, of so many steps:
constexpr int kSteps = 20;               // half a second of ours is a quarter of a year of theirs
constexpr double kSun = 39.47841760436;  // 4 pi^2: then distances are in those of the earth

// What is kept of a planet. A member that is added later starts with the value given here.
struct Planet {
  std::string name;
  double x = 1, y = 0;    // place
  double vx = 0, vy = 0;  // speed
  std::int64_t rounds = 0;

  template <class Fields>
  void zeroth_fields(Fields& field) {
    field("name", name);
    field("x", x), field("y", y);
    field("vx", vx), field("vy", vy);
    field("rounds", rounds);
  }
};

// On a circle.
Planet planet(const std::string& name, double distance) {
  Planet made;
  made.name = name;
  made.x = distance;
  made.vy = std::sqrt(kSun / distance);
  return made;
}

void advance(Planet& planet) {
  const double distance = std::hypot(planet.x, planet.y), pull = -kSun / (distance * distance * distance);
  planet.vx += kStep * pull * planet.x;
  planet.vy += kStep * pull * planet.y;
  const bool below = planet.y < 0;
  planet.x += kStep * planet.vx;
  planet.y += kStep * planet.vy;
  if (below && planet.y >= 0) ++planet.rounds;
}

double energy(const std::vector<Planet>& planets) {
  double sum = 0;
  for (const Planet& each : planets) {
    sum += (each.vx * each.vx + each.vy * each.vy) / 2 - kSun / std::hypot(each.x, each.y);
  }
  return sum;
}

int main() {
  zeroth::Worker w("orbit/1");  // says hello

  // Living variables: what they hold here is where the first start begins.
  std::vector<Planet> planets = {planet("venus", 0.72), planet("earth", 1), planet("mars", 1.52)};
  std::vector<double> trail;  // of the energy, one a turn, the newest last
  double years = 0;
  std::int64_t turns = 0;
  w.keep("planets", planets);
  w.keep("trail", trail);
  w.keep("years", years);
  w.keep("turns", turns);

  w.command("planets", {}, "where the planets are", [&] {
    const auto section = w.atomic();
    return planets;
  });
  w.command("kick", {{"name", "of the planet"}, {"by", "share of its speed, 0.1 by default"}}, "makes a planet faster",
            [&](const zeroth::Value& params) {
              const auto name = params.get<std::string>("name", "earth");
              const double by = params.get("by", 0.1);
              const auto section = w.atomic();
              for (Planet& each : planets) {
                if (each.name != name) continue;
                each.vx *= 1 + by;
                each.vy *= 1 + by;
                return zeroth::Object{{"energy", energy(planets)}};
              }
              throw zeroth::Error("no planet is called " + name, "not_found");
            });
  w.on_stop([&] { std::printf("%.3f years, %lld turns\n", years, static_cast<long long>(turns)); });

  w.restore();  // where they were in the process before

  while (w.every(kTurn)) {            // stands still while the state is handed over, ends when the worker is to stop
    const auto section = w.atomic();  // the state is saved between such sections, never inside one
    for (int step = 0; step < kSteps; ++step) {
      for (Planet& each : planets) advance(each);
    }
    years += kSteps * kStep;
    trail.push_back(energy(planets));
    if (trail.size() > 1'000) trail.erase(trail.begin());
    w.beat(++turns, {{"energy", trail.back()}, {"years", years}}, "at year " + std::to_string(static_cast<int>(years)));
  }
}
