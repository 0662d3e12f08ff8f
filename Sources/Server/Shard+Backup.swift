import Platform
import Primitives
import Protocols
import Replication
import Storage

// What `cairn backup` asks of a node besides its snapshots: that no tombstone is forgotten meanwhile, what lies in a
// snapshot, the bytes of its files, and that it goes again.

/// Why a request of a backup means nothing.
private struct BackupProblem: Error { let text: String }

extension Shard {
  /// The longest that purges are held by one request.
  private static var holdSecondsMax: UInt64 { 600 }

  func answerBackup(
    _ route: AdminRoute, _ parameters: BackupParameters, for connection: ClientConnection, _ reply: HTTPReply
  ) {
    var bytes: [UInt8] = []
    if !mayAdminister(connection) {
      refuseRemote(reply, into: &bytes)
    } else {
      do throws(BackupProblem) {
        return try begin(route, parameters, for: connection, reply)
      } catch {
        reply.encode(json: JSON.object(["error": .string(error.text)]).bytes, status: 400, into: &bytes)
      }
    }
    connection.send(bytes)
    markDirty(connection)
  }

  private func begin(
    _ route: AdminRoute, _ parameters: BackupParameters, for connection: ClientConnection, _ reply: HTTPReply
  ) throws(BackupProblem) {
    if route == .holdPurges {
      guard let seconds = parameters.seconds.flatMap({ UInt64($0) }), (1...Self.holdSecondsMax).contains(seconds) else {
        throw BackupProblem(text: "seconds=N must be given, from 1 to \(Self.holdSecondsMax)")
      }
      return ask(.holdPurges(milliseconds: seconds * 1000), for: connection, reply)
    }
    guard let name = parameters.name.flatMap({ SnapshotName($0) }) else {
      throw BackupProblem(text: "name=NAME must be that of a snapshot; /admin/snapshots lists them")
    }
    let task = try task(route, parameters)
    let number = connection.beginExchange(.http(reply), nil)
    let session = SessionID(connection: connection.key, number: number)
    guard threads.perform(SnapshotWork(session: session, name: name, task: task)) else {
      let busy = JSON.object(["error": .string("too many ask for files of snapshots at once; try again")])
      return answer(SnapshotAnswer(session: session, content: .document(busy, status: 503)))
    }
  }

  private func task(_ route: AdminRoute, _ parameters: BackupParameters) throws(BackupProblem) -> SnapshotWork.Task {
    if route == .removeSnapshot { return .remove }
    guard let path = SnapshotFiles.path(parameters.path ?? "") else {
      throw BackupProblem(text: "path= names nothing that can be in a snapshot")
    }
    if route == .snapshotFiles { return .list(path: path) }
    guard let offset = UInt64(parameters.offset ?? "0"), offset <= UInt64(Int64.max),
      let count = Int(parameters.count ?? "\(SnapshotWork.bytesMax)"), (1...SnapshotWork.bytesMax).contains(count)
    else {
      throw BackupProblem(text: "offset= and count= must be numbers, count from 1 to \(SnapshotWork.bytesMax)")
    }
    return .read(path: path, offset: offset, count: count)
  }

  /// Passes on what the thread has done.
  func answer(_ done: SnapshotAnswer) {
    guard let connection = clients[done.session.connection], hasRoom(connection) else { return }
    switch done.content {
    case .document(let document, let status):
      connection.answer(done.session.number, with: document, status: status)
    case .bytes(let bytes): connection.answer(done.session.number, withBytes: bytes)
    }
    markDirty(connection)
    boundUnread(connection)
  }
}
