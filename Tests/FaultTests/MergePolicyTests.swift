import Causality
import Primitives
import Simulation
import Testing

@testable import Storage

@Suite("When files are merged, and which")
struct MergePolicyTests {
  private let policy = MergePolicy()
  private static let mebi: UInt64 = 1 << 20

  private func file(_ id: UInt32, _ length: UInt64, dead: UInt64 = 0, blocked: UInt64 = 0) -> MergePolicy.File {
    MergePolicy.File(id: id, length: length, liveBytes: length - dead, freeableBytes: dead - blocked)
  }

  private func choose(_ files: [MergePolicy.File], max: UInt64 = 256 << 20) -> [UInt32] {
    policy.choose(files, liveBytesMax: max)
  }

  @Test("a merge is started by a share of dead bytes, at its edge")
  func triggerByShare() {
    #expect(choose([file(1, 100 << 20, dead: 60 << 20)]) == [1])
    #expect(choose([file(1, 100 << 20, dead: 60 << 20 - 1)]) == [])
    #expect(choose([]) == [])
  }

  @Test("a merge is started by many dead bytes, at its edge")
  func triggerByBytes() {
    #expect(choose([file(1, 1 << 30, dead: 128 << 20)]) == [1])
    #expect(choose([file(1, 1 << 30, dead: 128 << 20 - 1)]) == [])
  }

  @Test("files that are dead enough join a merge and start none, at the edges")
  func joining() {
    let start = file(1, 100 << 20, dead: 60 << 20)
    #expect(choose([file(2, 100 << 20, dead: 50 << 20)]) == [])
    #expect(choose([start, file(2, 100 << 20, dead: 40 << 20)]) == [1, 2])
    #expect(choose([start, file(2, 100 << 20, dead: 40 << 20 - 1)]) == [1])
    #expect(choose([start, file(2, 200 << 20, dead: 64 << 20)]) == [1, 2])
    #expect(choose([start, file(2, 200 << 20, dead: 64 << 20 - 1)]) == [1])
    #expect(choose([start, file(2, 10 << 20 - 1)]) == [1, 2])
    #expect(choose([start, file(2, 10 << 20)]) == [1])
  }

  @Test("eight small files start a merge, seven do not")
  func smallFiles() {
    #expect(choose((0..<7).map { file($0, 9 << 20) }) == [])
    #expect(choose((0..<8).map { file($0, 9 << 20) }) == Array(0..<8))
    #expect(choose((0..<7).map { file($0, 9 << 20) } + [file(7, 10 << 20)]) == [])
  }

  @Test("with a low max_file_size full files are not small: nothing is merged into as many files as before")
  func smallFilesOfSmallStores() {
    for max in [UInt64(1) << 16, 1 << 20, 9 << 20, 15 << 20] {
      #expect(choose((0..<100).map { file($0, max) }, max: max) == [])
      // Whatever is chosen, something is freed or the files become fewer.
      var generator = SeededGenerator(seed: max)
      for _ in 0..<200 {
        let files = (0..<UInt32(1 + generator.below(20))).map { id in
          let length = 1 + UInt64(generator.below(Int(max)))
          let dead = generator.chance(1, in: 3) ? UInt64(generator.below(Int(length))) : 0
          return file(id, length, dead: dead, blocked: dead == 0 ? 0 : UInt64(generator.below(Int(dead))))
        }
        let chosen = files.filter { choose(files, max: max).contains($0.id) }
        #expect(chosen.isEmpty || chosen.count > 1 || chosen[0].freeableBytes > 0)
      }
    }
  }

  @Test("live bytes of all chosen files are bounded, the first excepted; the deadest come first")
  func liveBytesAreBounded() {
    let files = [
      file(1, 1000, dead: 700), file(2, 1000, dead: 900), file(3, 1000, dead: 800), file(4, 5000, dead: 4500),
    ]
    #expect(choose(files, max: 500) == [4])
    #expect(choose(files, max: 600) == [2, 4])
    #expect(choose(files, max: 100) == [4])
    #expect(choose(files, max: 900) == [2, 3, 4])
    #expect(choose(files, max: 1100) == [1, 2, 3, 4])
  }

  @Test("dead bytes that a merge could not free do not count")
  func blockedBytes() {
    #expect(choose([file(1, 100 << 20, dead: 90 << 20, blocked: 90 << 20)]) == [])
    #expect(choose([file(1, 100 << 20, dead: 90 << 20, blocked: 31 << 20)]) == [])
    #expect(choose([file(1, 100 << 20, dead: 90 << 20, blocked: 30 << 20)]) == [1])
  }

  @Test("the window: over midnight, its edges, none and always")
  func windows() {
    let night = MergeWindow.hours(22, 6)
    #expect((0..<24).filter(night.contains) == [0, 1, 2, 3, 4, 5, 22, 23])
    #expect((0..<24).filter(MergeWindow.hours(2, 4).contains) == [2, 3])
    #expect((0..<24).filter(MergeWindow.hours(5, 5).contains) == [])
    #expect((0..<24).allSatisfy(MergeWindow.always.contains))
    #expect(!(0..<24).contains(where: MergeWindow.never.contains))
  }

  @Test("outside its window nothing begins by itself; a merge that was asked for does, and one under way goes on")
  func windowOfTheEngine() throws {
    var rig = try Rig.active()
    rig.options.merge.window = .hours(22, 6)
    rig.options.merge.checkIntervalMilliseconds = 1000
    try rig.reopen()
    for time in UInt64(1)...9 { _ = try rig.put(Rig.keys[0], "value", at: time) }
    try rig.endFile()
    func look(_ hour: Int) throws -> MergeStep {
      rig.now = rig.now.adding(milliseconds: 2000)
      return try rig.engine.continueMerge(at: rig.now, hour: hour, budget: 100, warm: nil, on: &rig.disk)
    }
    for _ in 0..<4 { #expect(try look(12) == .idle) }
    #expect(try look(22) == .idle, "the first interval begins")
    #expect(try look(22) == .worked)
    #expect(try look(12) == .worked)
    rig.engine.cancelMerge(on: &rig.disk)
    rig.engine.requestMerge()
    while rig.engine.isMergeRequested {
      _ = try look(12)
      try rig.engine.flush(on: &rig.disk)
      try rig.work()
    }
    #expect(rig.engine.mergeStatus.merges == 1)
  }
}
