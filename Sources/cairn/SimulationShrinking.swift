import Client
import Platform
import Primitives
import Protocols
import Simulation

// `cairn simulate --seed S --shrink`: the search of `Shrinker`, one process for each run, because a run that meets a
// broken invariant takes its process with it. Tells how far it is, and in the end the command that is left.

struct SimulationShrinking {
  private static let outputBytesMax = 4 << 20

  private let seed: UInt64
  private let omissions: Omissions

  init(seed: UInt64, omissions: Omissions) {
    self.seed = seed
    self.omissions = omissions
  }

  /// 0 when a smaller run was found, or none exists; 1 when the run does not fail.
  mutating func run() throws -> Int32 {
    let directory = "\(Console.environment("TMPDIR") ?? "/tmp")/cairn-shrink-\(try randomSeed())"
    do throws(Errno) {
      try FileTree.create(directory)
    } catch {
      throw Failure("cannot create \(directory): \(error)")
    }
    defer { try? FileTree.remove(directory) }
    var left: [(number: Int, text: String)] = []
    var reason: String?
    var runs = 0
    let seed = seed
    var shrinker = Shrinker(omissions) { candidate in
      runs += 1
      let report = try SimulationShrinking.report(seed, without: candidate, in: directory)
      if Console.errorIsTerminal {
        writeToStandardError("\rrun \(runs) of at most \(Shrinker.runsMax), \(left.count) strikes left\u{1B}[K")
      }
      if reason == nil || report.promise == reason {
        reason = report.promise
        left = report.strikes
      }
      return Shrinker.Outcome(
        reason: report.promise, strikes: report.strikes.map(\.number), planned: report.strikesPlanned)
    }
    let hasFailed = try shrinker.shrink()
    if Console.errorIsTerminal { writeToStandardError("\r\u{1B}[K") }
    guard hasFailed else {
      try printOut("\(SimulationReport.command(seed, without: omissions))   # passed: there is nothing to shrink\n")
      return 1
    }
    let last = try SimulationShrinking.report(seed, without: shrinker.omissions, in: directory)
    try printOut(SimulationShrinking.text(last, shrinker, seed))
    return 0
  }

  private static func text(_ last: SimulationReport, _ shrinker: Shrinker, _ seed: UInt64) -> String {
    let verdict =
      shrinker.isMinimal
      ? "nothing more can be left out" : "the search ended at \(Shrinker.runsMax) runs; more might be left out"
    var lines = ["\(last.failure ?? "passed")", "\(last.strikes.count) strikes left; \(verdict):"]
    lines += aligned(last.strikes.map { ["\($0.number)", $0.text] }, indent: "  ")
    lines.append("\(SimulationReport.command(seed, without: shrinker.omissions)) --trace")
    return lines.joined(separator: "\n") + "\n"
  }

  /// Makes one run in a process of its own.
  private static func report(
    _ seed: UInt64, without omissions: Omissions, in directory: String
  ) throws -> SimulationReport {
    var setting = ProcessSetting()
    setting.outputPath = "\(directory)/out"
    setting.errorPath = "\(directory)/err"
    var words = ["simulate", "--seed", "\(seed)", "--json"]
    if !omissions.description.isEmpty { words += ["--without", "\(omissions)"] }
    if !omissions.rulesText.isEmpty { words += ["--without-rule", omissions.rulesText] }
    do throws(Errno) {
      try? FileTree.remove("\(directory)/out")
      try? FileTree.remove("\(directory)/err")
      let process = try spawn(Console.executablePath, words, setting)
      _ = endOfChild(process.pid, wait: true)
    } catch {
      throw Failure("cannot run \(Console.executablePath): \(error)")
    }
    let bytes = (try? FileTree.read("\(directory)/out", bytesMax: outputBytesMax)) ?? []
    let line = String(decoding: bytes, as: UTF8.self)
    return SimulationReport(line: line)
      ?? SimulationReport(crashed: seed, "crash: it ended without a report", without: omissions)
  }
}
