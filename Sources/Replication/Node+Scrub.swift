import Messages
import Primitives
import Storage

// Scrubbing beside everything else: one chunk at a time, read by the threads of the disk and verified at the end of a
// turn. What it finds goes the way of all damage (`Node+DamageRepair.swift`, `Node+Rebuild.swift`).

extension Node where Disk: ~Copyable {
  /// Asks for the next chunk when it is due.
  mutating func continueScrub(at now: Moment) {
    guard options.scrubMilliseconds > 0, phase == .serving, !scrubbing.isReading, let engine else { return }
    guard scrubbing.notBefore.map({ $0 <= now.instant }) ?? true else { return }
    guard scrubbing.mayRead(bytesPerSecond: options.scrubBytesPerSecond, at: now.instant) else { return }
    let progress = engine.scrubProgress
    guard progress.bytesTotal > 0 else {
      scrubbing.notBefore = now.instant.adding(milliseconds: Scrubbing.pauseMilliseconds)
      return
    }
    if scrubbing.began == nil { beginScrub(engine, at: now) }
    guard
      scrubbing.isDue(
        progress.bytesDone, of: progress.bytesTotal, interval: options.scrubMilliseconds, at: now.instant)
    else {
      // Not at every turn: there may be many files to count.
      scrubbing.notBefore = now.instant.adding(milliseconds: Self.scrubReviewMilliseconds)
      return
    }
    do throws(StorageError) {
      switch try engine.scrubNext(on: &disk) {
      case .read(let read): ask(for: read, engine, at: now)
      case .passEnded: scrubPassEnded(at: now)
      }
    } catch {
      scrubbing.notBefore = now.instant.adding(milliseconds: Scrubbing.pauseMilliseconds)
    }
  }

  /// How often it is looked whether a chunk is due, milliseconds.
  private static var scrubReviewMilliseconds: UInt64 { 100 }

  /// At a random place: nodes that were started together do not read the same at the same time.
  private mutating func beginScrub(_ engine: Engine, at now: Moment) {
    let share = Double(generator.below(1 << 20)) / Double(1 << 20)
    engine.beginScrub(atShare: share)
    scrubbing.began = now.instant
    scrubbing.headStart = UInt64(Double(options.scrubMilliseconds) * share)
  }

  private mutating func ask(for read: ColdRead, _ engine: Engine, at now: Moment) {
    scrubbing.spend(read.count)
    scrubbing.isReading = readCold(read, for: .scrub)
    guard !scrubbing.isReading else { return }
    engine.scrubReadFailed()
    scrubbing.notBefore = now.instant.adding(milliseconds: Scrubbing.pauseMilliseconds)
  }

  /// The next pass begins when this one's interval is over.
  private mutating func scrubPassEnded(at now: Moment) {
    guard let began = scrubbing.began else { return }
    scrubbing.lastPass = now.instant
    let past = now.instant.milliseconds(since: began) + scrubbing.headStart
    let left = options.scrubMilliseconds - min(options.scrubMilliseconds, past)
    scrubbing.headStart = 0
    scrubbing.began = now.instant.adding(milliseconds: left)
    scrubbing.notBefore = scrubbing.began
  }

  mutating func scrubbed(_ bytes: [UInt8]) {
    scrubbing.isReading = false
    guard let engine else { return }
    counters.antiEntropy.scrubbedBytes += UInt64(bytes.count)
    do throws(StorageError) {
      // What is damaged is noted by the engine, and taken up with the next tick.
      if case .fenced(let store, let error) = try engine.scrubbed(bytes, on: &disk) {
        free.append(.log(.error, "store \(store) is fenced: \(error.text(naming: objectName))"))
      }
    } catch {
      scrubbing.notBefore = present.adding(milliseconds: Scrubbing.pauseMilliseconds)
    }
  }

  mutating func scrubReadFailed() {
    scrubbing.isReading = false
    scrubbing.notBefore = present.adding(milliseconds: Scrubbing.pauseMilliseconds)
    engine?.scrubReadFailed()
  }

  // MARK: - What operators see

  func scrubStatus(at now: Moment) -> ScrubStatus {
    var status = ScrubStatus()
    status.intervalMilliseconds = options.scrubMilliseconds
    status.damagedFound = counters.antiEntropy.damages
    status.repaired = counters.antiEntropy.repairs
    status.lost = counters.antiEntropy.losses
    status.setAside = rebuilds.setAside
    status.lastPassMilliseconds = scrubbing.lastPass.map { now.instant.milliseconds(since: $0) }
    guard let progress = engine?.scrubProgress else { return status }
    status.file = progress.file.map { path in
      path.hasPrefix(options.directory + "/") ? String(path.dropFirst(options.directory.count + 1)) : path
    }
    status.position = progress.position
    status.bytesDone = progress.bytesDone
    status.bytesTotal = progress.bytesTotal
    status.passesDone = UInt64(progress.passes)
    return status
  }
}
