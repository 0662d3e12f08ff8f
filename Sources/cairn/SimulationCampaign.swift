import Client
import Platform
import Primitives
import Protocols
import Simulation

// Many simulated runs on several processes. A run that hits a broken invariant takes its process down; the seeds are
// therefore handed out in small portions to workers, and a worker that dies costs one seed, which is reported.

struct SimulationCampaign {
  private struct Worker {
    let process: ProcessIdentity
    let seeds: Range<UInt64>
    let outputPath: String
    let errorPath: String
  }

  /// Seeds that one worker process runs.
  private static let portionMax: UInt64 = 16
  private static let outputBytesMax = 1 << 20

  private var portions: Range<UInt64>
  /// What a dead worker left undone; taken first.
  private var leftovers: [Range<UInt64>] = []
  private let total: Int
  private let jobs: Int
  private let deadline: Instant?
  private let printsJSON: Bool
  /// Rules of the delete protocol alone.
  private let omissions: Omissions
  private let clock = SystemClock()
  private let started: Instant
  private var workers: [Worker] = []
  private var workersStarted = 0
  private var runs = 0
  private var failures = 0
  private var operations = 0
  private var handoff = HandoffTally()
  private var antiEntropy = AntiEntropyTally()
  private var rules = Tally<RuleEvent>()
  private var faults = Tally<Fault>()

  init(seeds: Range<UInt64>, jobs: Int, minutes: Int?, printsJSON: Bool, omissions: Omissions) {
    self.omissions = omissions
    portions = seeds
    total = seeds.count
    self.jobs = jobs
    let start = clock.now().instant
    started = start
    deadline = minutes.map { start.adding(milliseconds: UInt64($0) * 60_000) }
    self.printsJSON = printsJSON
  }

  /// Runs everything; 1 when something failed.
  mutating func run() throws -> Int32 {
    let directory = "\(Console.environment("TMPDIR") ?? "/tmp")/cairn-simulate-\(try randomSeed())"
    do throws(Errno) {
      try FileTree.create(directory)
    } catch {
      throw Failure("cannot create \(directory): \(error)")
    }
    defer { try? FileTree.remove(directory) }
    while true {
      while workers.count < jobs, let seeds = nextPortion() { try start(seeds, in: directory) }
      if workers.isEmpty { break }
      pause(milliseconds: 10)
      try collect()
      showProgress()
    }
    if Console.errorIsTerminal { writeToStandardError("\r\u{1B}[K") }
    let seconds = clock.now().instant.milliseconds(since: started) / 1000
    let verdict = failures == 0 ? "all passed" : "\(failures) FAILED"
    let tallies = "\(tables)\(handoff.summary)\n\(antiEntropy.summary)\n"
    let text = "\(tallies)\(runs) runs, \(operations) operations, \(seconds) s: \(verdict)\n"
    if printsJSON { writeToStandardError(text) } else { try printOut(text) }
    return failures == 0 ? 0 : 1
  }

  /// What the runs have met, and what a run has of the two things that all else rests on.
  private var tables: String {
    let mean = { (sum: Int) in (Double(sum) / Double(max(1, runs)) * 10).rounded() / 10 }
    return faults.table("faults in all runs (offsets, drift, cold-reads, start-crashes, chaos: runs):")
      + rules.table("rules of the delete protocol:")
      + "in a run: \(mean(operations)) operations, \(mean(rules[.purges])) purges\n"
  }

  private mutating func nextPortion() -> Range<UInt64>? {
    if let deadline, clock.now().instant >= deadline { return nil }
    if let leftover = leftovers.popLast() { return leftover }
    guard !portions.isEmpty else { return nil }
    let end = portions.lowerBound + min(SimulationCampaign.portionMax, portions.upperBound - portions.lowerBound)
    defer { portions = end..<portions.upperBound }
    return portions.lowerBound..<end
  }

  private mutating func start(_ seeds: Range<UInt64>, in directory: String) throws {
    workersStarted += 1
    var setting = ProcessSetting()
    setting.outputPath = "\(directory)/\(workersStarted).out"
    setting.errorPath = "\(directory)/\(workersStarted).err"
    let range = "\(seeds.lowerBound)..<\(seeds.upperBound)"
    do throws(Errno) {
      let process = try spawn(Console.executablePath, ["simulate", "--seeds", range, "--worker"] + ruleWords, setting)
      workers.append(
        Worker(process: process, seeds: seeds, outputPath: setting.outputPath, errorPath: setting.errorPath))
    } catch {
      throw Failure("cannot start a worker: \(error)")
    }
  }

  private var ruleWords: [String] {
    omissions.rulesText.isEmpty ? [] : ["--without-rule", omissions.rulesText]
  }

  /// Takes the reports of the workers that have ended.
  private mutating func collect() throws {
    var running: [Worker] = []
    for worker in workers {
      if let end = endOfChild(worker.process.pid, wait: false) {
        try settle(worker, end)
      } else {
        running.append(worker)
      }
    }
    workers = running
  }

  private mutating func settle(_ worker: Worker, _ end: ProcessEnd) throws {
    var next = worker.seeds.lowerBound
    for line in text(worker.outputPath).split(separator: "\n") {
      guard let report = SimulationReport(line: String(line)) else { continue }
      take(report)
      next = report.seed + 1
    }
    guard next < worker.seeds.upperBound else { return }
    let lines = text(worker.errorPath).split(separator: "\n")
    let reason =
      lines.first { $0.contains("atal error") } ?? lines.first { $0.contains(" in cairn at ") } ?? lines.first
    let word = "crash: \(reason ?? "it ended without a word, \(end)")"
    take(SimulationReport(crashed: next, word, without: omissions))
    if next + 1 < worker.seeds.upperBound { leftovers.append(next + 1..<worker.seeds.upperBound) }
  }

  private func text(_ path: String) -> String {
    let bytes = (try? FileTree.read(path, bytesMax: SimulationCampaign.outputBytesMax)) ?? []
    return String(decoding: bytes, as: UTF8.self)
  }

  private mutating func take(_ report: SimulationReport) {
    var report = report
    report.omissions = omissions
    rules += report.rules
    faults += report.faults
    runs += 1
    operations += report.operations
    handoff += report.handoff
    antiEntropy += report.antiEntropy
    if report.failure != nil { failures += 1 }
    if printsJSON {
      writeToStandardOutput(report.json.text(indent: false) + "\n")
    } else if report.failure != nil {
      if Console.errorIsTerminal { writeToStandardError("\r\u{1B}[K") }
      writeToStandardOutput(report.failureLine + "\n")
    }
  }

  private func showProgress() {
    guard Console.errorIsTerminal else { return }
    let seconds = clock.now().instant.milliseconds(since: started) / 1000
    writeToStandardError("\r\(runs) of \(total) runs, \(failures) failed, \(seconds) s\u{1B}[K")
  }
}
