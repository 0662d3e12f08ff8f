import Causality
import Primitives
import Simulation
import Testing

@testable import Storage

// Every file operation of a merge goes wrong once: the process dies there, or the operation fails.

@Suite("Faults in a merge")
struct MergeFaultTests {
  /// Files with live, superseded, deleted and forgotten keys; then a merge of all of them, with writes in between.
  private struct Story {
    var rig: Rig
    /// Of every key the lowest stamp that it may have; what is forgotten may also be absent.
    var least: [String: UInt64] = [:]
    var values: [String: Set<String>] = [:]
    var forgotten: Set<String> = []

    init() throws {
      rig = try Rig.active(openFilesMax: 2)
      rig.options.fileBytesMax = 400
      try rig.reopen()
      for (number, key) in Rig.keys[..<6].enumerated() { try put(key, "first \(number)", at: UInt64(10 + number)) }
      try rig.endFile()
      for (number, key) in Rig.keys[..<3].enumerated() { try delete(key, at: UInt64(20 + number)) }
      try put(Rig.keys[3], "second", at: 30)
      try put(Rig.keys[6], String(repeating: "long", count: 100), at: 31)
      try rig.endFile()
      try put(Rig.keys[0], "lives again", at: 40)
      try rig.commit()
      #expect(try rig.purge(Array(Rig.keys[1].utf8), stamp(21)) == .purged)
      forgotten.insert(Rig.keys[1])
    }

    private mutating func put(_ key: String, _ value: String, at time: UInt64) throws {
      values[key, default: []].insert(value)
      try commit(try rig.put(key, value, at: time), key, time)
    }

    private mutating func delete(_ key: String, at time: UInt64) throws {
      try commit(try rig.delete(key, at: time), key, time)
    }

    /// What was refused, or waits in memory for room, was promised to nobody.
    private mutating func commit(_ outcome: ApplyOutcome, _ key: String, _ time: UInt64) throws {
      try rig.commit()
      if case .applied(let position) = outcome, position <= rig.engine.durable { least[key] = time }
    }

    /// The merge of everything. A step of a job that fails is thrown like any other error: the node stops then.
    mutating func merge() throws {
      rig.engine.requestMerge()
      var slices = 0
      while rig.engine.isMergeRequested {
        if try rig.slice(150) == .worked {
          slices += 1
          if slices == 2 { try put(Rig.keys[4], "in between", at: 50) }
          if slices == 4 { try delete(Rig.keys[5], at: 51) }
        }
        // Bytes that found no room are tried again.
        rig.now = rig.now.adding(milliseconds: 200)
        rig.engine.reviewSpace(at: rig.now, on: &rig.disk)
        try rig.engine.flush(on: &rig.disk)
        try rig.work()
      }
    }

    /// What holds at any time, whatever happened.
    mutating func check(_ label: String) throws {
      for (key, time) in least.sorted(by: { $0.key < $1.key }) {
        switch try rig.get(key) {
        case .found(let version):
          #expect(version.stamp >= stamp(time), "\(label): an old version of \(key)")
          let value = String(decoding: version.value, as: UTF8.self)
          #expect(version.isTombstone || values[key]?.contains(value) == true, "\(label): \(key)")
        case .absent: #expect(forgotten.contains(key), "\(label): lost \(key)")
        case .cold: Issue.record("cold")
        }
      }
      #expect(try rig.statisticsDefect() == nil, "\(label)")
    }
  }

  @Test("the process dies there, or power fails: nothing is lost and nothing comes back")
  func dies() throws {
    var operations = 0
    for operation in 1... {
      var story = try Story()
      story.rig.disk.diesAtOperation = story.rig.disk.operationCount + operation
      try? story.merge()
      let hasDied = story.rig.disk.isDead
      for variant in 0..<3 {
        var copy = story
        var generator = SeededGenerator(seed: UInt64(operation * 3 + variant))
        if variant == 0 { copy.rig.disk.discardUnsynced() }
        if variant == 1 { copy.rig.disk.crash(using: &generator) }
        try copy.rig.reopen()
        #expect(copy.rig.engine.recovery.damaged.isEmpty)
        try copy.check("operation \(operation), variant \(variant)")
        // And it goes on.
        if operation % 9 == variant {
          try copy.merge()
          try copy.check("operation \(operation), variant \(variant), merged")
        }
      }
      operations = operation
      if !hasDied {
        #expect(story.rig.engine.mergeStatus.merges == 1)
        break
      }
    }
    #expect(operations > 50)
  }

  /// ENOSPC, EMFILE, EIO.
  @Test(
    "it fails: a shortage breaks the merge off and all goes on, anything else ends the engine or fences the store",
    arguments: [28, 24, 5] as [Int32])
  func fails(errno: Int32) throws {
    var postponed = 0
    for operation in 1... {
      var story = try Story()
      let failing = story.rig.disk.operationCount + operation
      story.rig.disk.failure = (operation: failing, errno: errno)
      var stopped: (any Error)?
      do { try story.merge() } catch { stopped = error }
      let isReached = story.rig.disk.operationCount >= failing
      story.rig.disk.failure = nil
      let isFenced = story.rig.engine.role(Rig.seeds[0].id) == .fenced
      if stopped == nil && !isFenced { try story.check("errno \(errno), operation \(operation), at once") }
      if isReached && errno == 5 { #expect(stopped != nil || isFenced || story.rig.engine.mergeStatus.merges > 0) }
      if stopped == nil && story.rig.engine.mergeStatus.postponement != nil && !isFenced {
        postponed += 1
        try story.merge()
        #expect(story.rig.engine.mergeStatus.postponement == nil)
        try story.check("errno \(errno), operation \(operation), merged later")
      }
      var generator = SeededGenerator(seed: UInt64(operation))
      var killed = story
      try killed.rig.reopen()
      #expect(killed.rig.engine.recovery.damaged.isEmpty)
      try killed.check("errno \(errno), operation \(operation), process")
      story.rig.disk.crash(using: &generator)
      try story.rig.reopen()
      #expect(story.rig.engine.recovery.damaged.isEmpty)
      try story.check("errno \(errno), operation \(operation), power")
      if !isReached { break }
    }
    #expect(errno == 5 || postponed > 4, "\(postponed)")
  }

  @Test("opening after a crash in a merge dies there: the next opening finds everything")
  func openingDies() throws {
    for moment in stride(from: 2, to: 54, by: 7) {
      var story = try Story()
      story.rig.disk.diesAtOperation = story.rig.disk.operationCount + moment
      _ = try? story.merge()
      var generator = SeededGenerator(seed: UInt64(moment))
      story.rig.disk.crash(using: &generator)
      for operation in 1... {
        var copy = story
        copy.rig.disk.diesAtOperation = copy.rig.disk.operationCount + operation
        let opened = try? Engine.open(Rig.root, options: copy.rig.options, stores: Rig.seeds, on: &copy.rig.disk)
        let hasDied = opened == nil || copy.rig.disk.isDead
        copy.rig.disk.crash(using: &generator)
        try copy.rig.reopen()
        try copy.check("moment \(moment), operation \(operation)")
        if !hasDied { break }
      }
    }
  }

  @Test("power fails between any two steps of the job that ends a merge", arguments: UInt64(0)..<20)
  func jobSteps(seed: UInt64) throws {
    var story = try Story()
    try story.rig.endFile()
    let ids = story.rig.fileIDs
    let steps = try story.rig.lastJob(merging: ids)
    #expect(steps.count > 6)
    for performed in 0...steps.count {
      var copy = story
      for step in steps[..<performed] { try step.perform(on: &copy.rig.disk) }
      var generator = SeededGenerator(seed: seed &* 100 &+ UInt64(performed))
      copy.rig.disk.crash(using: &generator)
      try copy.rig.reopen()
      #expect(copy.rig.engine.recovery.damaged.isEmpty)
      try copy.check("seed \(seed), after \(performed) steps")
    }
  }
}
