import Platform
import Primitives
import Storage

// What the machine could do at most: the bytes of each workload moved by plain system calls, in the same minute, without
// looking at them. Rates are of the same unit as the engine's.

struct EngineBenchRaw {
  private let plan: EngineBenchPlan
  private let watch: EngineBenchWatch
  private let clock = SystemClock()

  private static let portion = 8192
  static let chunkBytes = 1 << 20

  init(_ plan: EngineBenchPlan, _ watch: EngineBenchWatch) {
    self.plan = plan
    self.watch = watch
  }

  /// Appends `count` pieces of `byteCount` bytes, as many with one write as a turn has.
  func write(_ path: String, byteCount: Int, count: Int) throws -> Double {
    let file = try RawFile(creating: path)
    let bytes = [UInt8](repeating: UInt8(ascii: "r"), count: byteCount * plan.turn)
    let last = [UInt8](repeating: UInt8(ascii: "r"), count: byteCount * (count % plan.turn))
    var nanoseconds: UInt64 = 0
    var left = count
    while left > 0 {
      let begin = clock.instant().nanoseconds
      var portion = 0
      while left > 0 && portion < EngineBenchRaw.portion {
        let pieces = min(plan.turn, left)
        try file.append(pieces == plan.turn ? bytes : last)
        left -= pieces
        portion += pieces
      }
      nanoseconds += clock.instant().nanoseconds - begin
      try watch.advance(by: portion)
    }
    return Double(count) * 1e9 / Double(max(1, nanoseconds))
  }

  /// Reads records of the store's own files, in the order that `order` gives, each timed as the engine's are.
  func read(_ places: RecordPlaces, _ numbers: Range<Int>, order: KeyShuffle) throws -> Double {
    var buffer = [UInt8](repeating: 0, count: plan.recordBytes)
    var meter = EngineBenchMeter()
    var next = numbers.lowerBound
    while next < numbers.upperBound {
      let end = min(next + EngineBenchRaw.portion, numbers.upperBound)
      var begin = clock.instant().nanoseconds
      for number in next..<end {
        let place = places[order(number)]
        let count = try places.files[place.file].read(at: place.offset, count: plan.recordBytes, into: &buffer)
        guard count == plan.recordBytes else { throw Failure("a data file is shorter than its records") }
        let now = clock.instant().nanoseconds
        meter.note(now - begin, operations: 1)
        begin = now
      }
      try watch.advance(by: end - next)
      next = end
    }
    return meter.perSecond
  }

  /// Reads places as `read` does, and appends a record for each.
  func readAndWrite(_ places: RecordPlaces, _ numbers: Range<Int>, order: KeyShuffle, to path: String) throws -> Double
  {
    let file = try RawFile(creating: path)
    let bytes = [UInt8](repeating: UInt8(ascii: "r"), count: plan.recordBytes)
    var buffer = bytes
    let begin = clock.instant().nanoseconds
    for number in numbers {
      let place = places[order(number)]
      _ = try places.files[place.file].read(at: place.offset, count: plan.recordBytes, into: &buffer)
      try file.append(bytes)
    }
    let nanoseconds = clock.instant().nanoseconds - begin
    try watch.advance(by: numbers.count)
    return Double(numbers.count) * 1e9 / Double(max(1, nanoseconds))
  }

  /// Reads files from front to back. - Returns: bytes, and the nanoseconds they took.
  func readWhole(_ paths: [String]) throws -> (bytes: UInt64, nanoseconds: UInt64) {
    var buffer = [UInt8](repeating: 0, count: EngineBenchRaw.chunkBytes)
    let begin = clock.instant().nanoseconds
    let total = try EngineBenchRaw.readChunks(of: paths, into: &buffer) {}
    return (total, max(1, clock.instant().nanoseconds - begin))
  }

  /// Reads files from front to back, a buffer at a time. - Returns: Their bytes.
  private static func readChunks(
    of paths: [String], into buffer: inout [UInt8], then body: () throws -> Void
  ) throws -> UInt64 {
    var total: UInt64 = 0
    for path in paths {
      let file = try RawFile(reading: path)
      var offset: UInt64 = 0
      while true {
        let count = try file.read(at: offset, count: buffer.count, into: &buffer)
        if count == 0 { break }
        offset += UInt64(count)
        try body()
      }
      total += offset
    }
    return total
  }

  /// Reads files from front to back in slices, and appends so much of each that `written` bytes are written in the end.
  func readAndWriteWhole(_ paths: [String], to path: String, written: Double, sliceBytes: Int) throws -> Double {
    let output = try RawFile(creating: path)
    let total = paths.reduce(UInt64(0)) { $0 + (FileTree.facts($1)?.bytes ?? 0) }
    var buffer = [UInt8](repeating: 0, count: sliceBytes)
    let kept = [UInt8](repeating: 0, count: min(sliceBytes, Int(Double(sliceBytes) * written / Double(max(1, total)))))
    let begin = clock.instant().nanoseconds
    _ = try EngineBenchRaw.readChunks(of: paths, into: &buffer) { try output.append(kept) }
    let nanoseconds = clock.instant().nanoseconds - begin
    try watch.advance(by: 0)
    return Double(total) * 1e9 / Double(max(1, nanoseconds))
  }

  /// Turns of one write and one sync, until `deadline`; they are counted in `meter`.
  func writeDurably(_ file: RawFile, until deadline: Instant, _ meter: inout EngineBenchMeter) throws {
    let bytes = [UInt8](repeating: UInt8(ascii: "r"), count: plan.recordBytes * plan.turn)
    var begin = clock.instant()
    while begin < deadline {
      try file.append(bytes)
      try file.sync()
      let now = clock.instant()
      meter.note(now.nanoseconds - begin.nanoseconds, operations: plan.turn)
      begin = now
    }
    try watch.advance(by: 0)
  }
}

/// Where the youngest records in a node's data files are, all of one length: by number, from the oldest of them.
struct RecordPlaces {
  let files: [RawFile]
  private let recordBytes: UInt64
  /// File index in the upper half, the record's number in that file in the lower.
  private var places: [UInt64] = []

  /// - Throws: When there are fewer records than `count`.
  init(_ paths: [String], recordBytes: Int, count: Int) throws {
    self.recordBytes = UInt64(recordBytes)
    files = try paths.map { path in try RawFile(reading: path) }
    for (index, path) in paths.enumerated().reversed() where places.count < count {
      let bytes = FileTree.facts(path)?.bytes ?? 0
      let records = Int(bytes - min(bytes, UInt64(FileHeader.byteCount))) / recordBytes
      let wanted = min(records, count - places.count)
      places += (records - wanted..<records).reversed().map { UInt64(index) << 32 | UInt64($0) }
    }
    guard places.count == count else { throw Failure("\(places.count) records of \(count) are in the data files") }
    places.reverse()
  }

  subscript(number: Int) -> (file: Int, offset: UInt64) {
    let place = places[number]
    return (Int(place >> 32), UInt64(FileHeader.byteCount) + (place & 0xFFFF_FFFF) * recordBytes)
  }

  /// Puts all of it on the device and out of memory.
  func forgetCached() throws {
    for file in files {
      try file.sync()
      file.forgetCached()
    }
  }
}
