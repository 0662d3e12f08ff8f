import Client
import Platform
import Primitives
import Protocols

// Files of snapshots on their way into a backup: a few threads, each with one connection and one piece of a file in its
// hands, so that memory is bounded and a node sends no faster than this disk takes it.

final class BackupCopies: Sendable {
  /// Files copied at once, all nodes together.
  private static let threadsMax = 4
  /// Asked for at once; a node gives no more.
  private static let pieceBytes = 1 << 20
  private static let patienceMilliseconds = 30_000
  private static let pauseMilliseconds = 200

  private struct State {
    var next = 0
    var copied: UInt64 = 0
    var running = 0
    var failure: Failure?
    var files: [BackupManifest.File] = []
  }

  private let items: [BackupPlace.Item]
  private let directory: String
  private let retryMilliseconds: UInt64
  private let state = Locked(State())

  init(_ items: [BackupPlace.Item], to directory: String, retryMilliseconds: Int) {
    self.items = items
    self.directory = directory
    self.retryMilliseconds = UInt64(retryMilliseconds)
  }

  /// Copies all of them; the first that fails ends it.
  /// - Returns: What was written, by path.
  func run(progress: (UInt64) -> Void) throws -> [BackupManifest.File] {
    let count = min(Self.threadsMax, items.count)
    state.withLock { $0.running = count }
    var threads: [Thread] = []
    for _ in 0..<count { threads.append(try Thread { self.work() }) }
    var shown: UInt64 = 0
    while true {
      let (copied, isRunning) = state.withLock { ($0.copied, $0.running > 0) }
      progress(copied - shown)
      shown = copied
      guard isRunning else { break }
      pause(milliseconds: 10)
    }
    for thread in threads { thread.join() }
    let end = state.withLock { $0 }
    if let failure = end.failure { throw failure }
    return end.files.sorted { $0.path < $1.path }
  }

  private func work() {
    defer { state.withLock { $0.running -= 1 } }
    while let item = take() {
      do throws(Failure) {
        let file = try copy(item)
        state.withLock { $0.files.append(file) }
      } catch {
        state.withLock { $0.failure = $0.failure ?? error }
      }
    }
  }

  private func take() -> BackupPlace.Item? {
    state.withLock { state in
      guard state.failure == nil, state.next < items.count else { return nil }
      defer { state.next += 1 }
      return items[state.next]
    }
  }

  // MARK: One file

  private func copy(_ item: BackupPlace.Item) throws(Failure) -> BackupManifest.File {
    let path = "\(directory)/\(item.target)"
    var client = HTTPClient(item.node.endpoint, timeoutMilliseconds: Self.patienceMilliseconds)
    let output: OutputFile
    do throws(Errno) { output = try OutputFile(path: path, keeping: 0) } catch { throw unwritable(path, error) }
    var digest = BackupDigest()
    var offset: UInt64 = 0
    while offset < item.bytes {
      let piece = try piece(of: item, from: offset, &client)
      if let failure = output.write(piece).failure { throw unwritable(path, failure) }
      digest.add(piece[...])
      offset += UInt64(piece.count)
      state.withLock { $0.copied += UInt64(piece.count) }
    }
    do throws(Errno) { try output.sync() } catch { throw unwritable(path, error) }
    return BackupManifest.File(path: item.target, bytes: item.bytes, digest: digest.value)
  }

  private func unwritable(_ path: String, _ error: Errno) -> Failure {
    Failure("cannot write \(path): \(error); what was copied was removed again")
  }

  /// The next bytes of a file, at least one. A node that is started anew still has the snapshot.
  private func piece(
    of item: BackupPlace.Item, from offset: UInt64, _ client: inout HTTPClient
  ) throws(Failure) -> [UInt8] {
    let count = Int(min(UInt64(Self.pieceBytes), item.bytes - offset))
    let target =
      "/admin/snapshot-file?name=\(item.snapshot)&path=\(item.path)&offset=\(offset)&count=\(count)"
    let clock = SystemClock()
    let began = clock.instant()
    while true {
      var answer: HTTPResponse?
      var reason = ""
      do throws(HTTPClientError) { answer = try client.send("GET", target) } catch { reason = "\(error)" }
      if let answer {
        if answer.status == 200 && answer.body.count == count { return answer.body }
        reason = answer.status == 200 ? "it is shorter than it was" : "\(answer.status) \(answer.line)"
        guard answer.status == 503 else { throw Failure("\(item.node.name): \(item.path) of its snapshot: \(reason)") }
      }
      guard clock.instant().milliseconds(since: began) < retryMilliseconds else {
        throw Failure("\(item.node.name) was lost while \(item.path) was copied: \(reason); the backup was given up")
      }
      pause(milliseconds: Self.pauseMilliseconds)
    }
  }
}
