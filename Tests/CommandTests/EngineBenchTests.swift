import Platform
import Primitives
import Protocols
import Testing

@testable import cairn

@Suite struct EngineBenchTests {
  private func options(_ words: [String]) throws -> EngineBenchOptions {
    try EngineBenchOptions(Arguments(words, options: EngineBenchOptions.table, command: "cairn bench engine"))
  }

  private func plan(_ workload: EngineWorkload = .put, turn: Int = 64, value: Int = 100) -> EngineBenchPlan {
    EngineBenchPlan(
      workload: workload, keyCount: 1000, keyByteCount: 16, valueByteCount: value, turn: turn, storeCount: 1, runs: 1)
  }

  @Test("what is not given has its default: every workload, memory first, with its own number of keys")
  func defaults() throws {
    let plain = try options([])
    #expect(Set(plain.workloads) == Set(EngineWorkload.allCases) && plain.workloads.first == .memory)
    #expect(plain.runs == 3 && plain.valueByteCount == 100 && !plain.printsJSON)
    let memory = plain.plans.filter { $0.workload == .memory }
    #expect(memory.map(\.keyByteCount) == [16, 200] && memory.allSatisfy { $0.keyCount == 10_000_000 && $0.runs == 1 })
    let puts = plain.plans.filter { $0.workload == .put }
    #expect(puts.map(\.turn) == [64, 1] && puts.allSatisfy { $0.keyCount == 1_000_000 && $0.storeCount == 1 })
    let commits = plain.plans.filter { $0.workload == .groupCommit }
    #expect(commits.map(\.turn) == [64, 16] && commits.allSatisfy { $0.storeCount == 64 })
  }

  @Test("what is given is taken")
  func given() throws {
    let full = try options([
      "--workload", "get", "--workload=put", "--keys", "10", "--key-size", "200", "--value-size", "1KiB", "--stores",
      "8", "--writers", "16", "--runs", "5", "--data", "/x", "--json",
    ])
    #expect(full.workloads == [.put, .get] && full.parent == "/x" && full.printsJSON)
    #expect(full.plans.count == 3)
    for plan in full.plans {
      #expect(plan.keyCount == 10 && plan.keyByteCount == 200 && plan.valueByteCount == 1024)
      #expect(plan.storeCount == 8 && plan.runs == 5)
    }
    #expect(try options(["--workload", "group_commit", "--writers", "16"]).plans.map(\.turn) == [16])
  }

  @Test(
    "what cannot be is refused before anything is written",
    arguments: [
      ["--workload", "scan"], ["--workload", ""], ["--keys", "0"], ["--keys", "100000001"], ["--key-size", "7"],
      ["--key-size", "131073"], ["--value-size", "x"], ["--value-size", "65MiB"], ["--stores", "0"],
      ["--stores", "3"], ["--stores", "2048"], ["--writers", "0"], ["--writers", "1025"], ["--runs", "0"],
      ["--runs", "100"], ["--data", ""], ["--keys", "100000000", "--value-size", "1KiB"], ["operand"],
    ])
  func bad(words: [String]) {
    #expect(throws: UsageError.self) { try options(words) }
  }

  @Test("numbers at their bounds are taken")
  func bounds() throws {
    let edge = try options([
      "--keys", "1", "--key-size", "131072", "--value-size", "64MiB", "--stores", "1024", "--writers", "1024", "--runs",
      "99",
    ])
    #expect(edge.keyByteCount == 131_072 && edge.storeCount == 1024 && edge.writers == [1024] && edge.runs == 99)
  }

  @Test("the engine's benchmark is a word behind bench, and bench goes on without one")
  func dispatch() {
    #expect(benchCommand.help(path: "cairn bench").contains("engine"))
    #expect(benchCommand.runsWithoutChild && benchCommand.children.map(\.name) == ["engine"])
    #expect(CommandLineInterface.run(["bench", "engine", "--workload", "scan"]) == 2)
    #expect(CommandLineInterface.run(["bench", "--rate", "0"]) == 2)
    #expect(CommandLineInterface.run(["bench", "motor"]) == 2)
  }

  @Test("a row of JSON has the fields that programs read; what was not measured is null")
  func json() throws {
    var latencies = LatencyHistogram()
    for nanoseconds in [100, 110, 5000] as [UInt64] { latencies.record(nanoseconds) }
    let put = EngineBenchResult(
      plan(), [EngineBenchSample(perSecond: 2e6, rawPerSecond: 4e6, latencies: latencies)]
    ).json
    #expect(
      put.members?.map(\.name) == [
        "workload", "keys", "key_bytes", "value_bytes", "stores", "turn", "runs", "per_second", "per_second_min",
        "per_second_max", "unit", "raw_per_second", "p50_ns", "p99_ns", "max_ns", "bytes_per_key",
        "disk_bytes_per_key",
      ])
    #expect(put["workload"]?.string == "put" && put["key_bytes"]?.integer == 16 && put["value_bytes"]?.integer == 100)
    #expect(put["turn"]?.integer == 64 && put["unit"]?.string == "operations" && put["per_second"] == .number(2e6))
    #expect(put["raw_per_second"] == .number(4e6) && put["p50_ns"]?.integer == 110 && put["max_ns"]?.integer == 5000)
    #expect(put["bytes_per_key"] == .null && !put.text().contains("\n"))
    let opened = EngineBenchResult(plan(.openScan, turn: 1), [EngineBenchSample(perSecond: 1)]).json
    #expect(opened["unit"]?.string == "bytes" && opened["p99_ns"] == .null && opened["raw_per_second"] == .null)
    let sample = EngineBenchSample(perSecond: 1, memoryPerKey: 24, diskPerKey: 144)
    let memory = EngineBenchResult(plan(.memory), [sample]).json
    #expect(memory["bytes_per_key"] == .number(24) && memory["disk_bytes_per_key"] == .number(144))
  }

  @Test("the repetition with the median rate is told, whole, and how far the others were from it")
  func median() {
    let samples = [3, 1, 2].map { EngineBenchSample(perSecond: $0, rawPerSecond: $0 * 10) }
    let result = EngineBenchResult(plan(), samples)
    #expect(result.perSecond == 2 && result.rawPerSecond == 20 && result.slowest == 1 && result.fastest == 3)
    #expect(result.ratio == 0.1)
    #expect(EngineBenchResult(plan(), Array(samples.prefix(2))).perSecond == 1)
  }

  @Test("a goal is met at its bound and missed behind it, and is stated for some sizes only")
  func goals() {
    func result(_ plan: EngineBenchPlan, _ perSecond: Double, raw: Double? = nil, longest: UInt64 = 1)
      -> EngineBenchResult
    {
      var latencies = LatencyHistogram()
      latencies.record(longest)
      return EngineBenchResult(
        plan, [EngineBenchSample(perSecond: perSecond, rawPerSecond: raw, latencies: latencies, memoryPerKey: 28)])
    }
    #expect(EngineGoal.perSecond(1e6).isMet(by: result(plan(), 1e6)))
    #expect(!EngineGoal.perSecond(1e6).isMet(by: result(plan(), 999_999)))
    #expect(EngineGoal.ofRaw(0.5).isMet(by: result(plan(), 1, raw: 2)))
    #expect(!EngineGoal.ofRaw(0.5).isMet(by: result(plan(), 1, raw: 3)))
    #expect(!EngineGoal.ofRaw(0.5).isMet(by: result(plan(), 1)))
    #expect(EngineGoal.pause(5_000_000).isMet(by: result(plan(), 1, longest: 5_000_000)))
    #expect(!EngineGoal.pause(5_000_000).isMet(by: result(plan(), 1, longest: 5_000_001)))
    #expect(EngineGoal.bytesPerKey(28).isMet(by: result(plan(), 1)))
    #expect(!EngineGoal.bytesPerKey(27.9).isMet(by: result(plan(), 1)))
    #expect(EngineGoal.goals(of: .put, turn: 64, valueByteCount: 100) == [.perSecond(1e6), .pause(5_000_000)])
    #expect(EngineGoal.goals(of: .put, turn: 64, valueByteCount: 1024) == [.perSecond(0.6e6), .pause(5_000_000)])
    #expect(EngineGoal.goals(of: .put, turn: 1, valueByteCount: 100).isEmpty)
    #expect(EngineGoal.goals(of: .put, turn: 64, valueByteCount: 99).isEmpty)
    let row = result(plan(), 1e6, raw: 4e6).row
    #expect(row.count == EngineBenchResult.header.count && row.contains("0.25"))
    #expect(row.last == "≥ 1.0M/s met, max ≤ 5.00 ms met")
  }

  @Test("different numbers give different keys, and the same number gives the same one")
  func keys() {
    var key = BenchKey(byteCount: 16, ring: RingHash(seed: 1))
    var seen: Set<[UInt8]> = []
    for number in 0..<10_000 {
      key.set(number)
      #expect(seen.insert(key.bytes).inserted)
    }
    key.set(17)
    let again = (key.bytes, key.hash)
    key.set(18)
    key.set(17)
    #expect(key.bytes == again.0 && key.hash == again.1 && key.bytes.count == 16)
  }

  @Test("every workload runs and measures something, and leaves nothing behind", arguments: EngineWorkload.allCases)
  func small(workload: EngineWorkload) throws {
    let parent = "\(Console.environment("TMPDIR") ?? "/tmp")/cairn-engine-bench-test-\(try randomSeed())"
    try FileTree.create(parent)
    defer { try? FileTree.remove(parent) }
    let options = try options([
      "--workload", workload.rawValue, "--keys", "1000", "--runs", "1", "--data", parent,
    ])
    var shown = 0
    let watch = try EngineBenchWatch(takesSignals: false)
    let (results, wasInterrupted) = try measureEngine(options, watch) { _ in shown += 1 }
    #expect(!wasInterrupted && results.count == options.plans.count && shown == results.count)
    for result in results {
      #expect(result.perSecond > 0)
      if workload == .memory {
        #expect(result.memoryPerKey != nil && (result.diskPerKey ?? 0) > 100)
      } else {
        #expect((result.rawPerSecond ?? 0) > 0)
      }
    }
    #expect(try FileTree.names(in: parent).isEmpty)
  }

  @Test("several stores share the keys")
  func stores() throws {
    let parent = "\(Console.environment("TMPDIR") ?? "/tmp")/cairn-engine-bench-test-\(try randomSeed())"
    try FileTree.create(parent)
    defer { try? FileTree.remove(parent) }
    let words = [
      "--workload", "get", "--workload", "open_hints", "--keys", "1000", "--runs", "1", "--stores", "8", "--data",
      parent,
    ]
    let watch = try EngineBenchWatch(takesSignals: false)
    let results = try measureEngine(try options(words), watch) { _ in }.results
    #expect(results.map(\.plan.storeCount) == [8, 8] && results.allSatisfy { $0.perSecond > 0 })
  }
}
