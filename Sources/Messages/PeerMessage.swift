package import Causality
package import Primitives
package import Storage

// Everything one node says to another. Each message carries the sender's hybrid time, so that clocks follow every
// exchange. Messages may be lost, repeated and reordered; each handler says what that means for it.

package struct PeerMessage: Equatable, Sendable {
  package var time: HybridTime
  package var body: PeerBody
  package init(time: HybridTime, body: PeerBody) {
    self.time = time
    self.body = body
  }
}

/// Its largest cases stand outside of it: every message is copied some times on its way, and is as large as the largest.
package enum PeerBody: Equatable, Sendable {
  indirect case hello(Hello)
  case helloReply(HelloReply)
  case ping(Ping)
  case pingReply(PingReply)
  case pingRequest(PingRequest)
  case pingRelayed(PingRelayed)
  case storeStates(StoreStates)
  case storeStatesReply(StoreStatesReply)
  case push(Push)
  case pushReply(PushReply)
  case read(PeerRead)
  case readReply(PeerReadReply)
  indirect case forward(Forward)
  case forwardReply(ForwardReply)
  case list(PeerList)
  case listReply(PeerListReply)
  case compare(PeerCompare)
  case compareReply(PeerCompareReply)
  case pull(PeerPull)
  case pullReply(PeerPullReply)
}

/// The first message on every connection, and again whenever its facts change.
package struct Hello: Equatable, Sendable {
  package static let versionMin: UInt16 = 6
  package static let versionMax: UInt16 = 6

  package var versions: ClosedRange<UInt16> = versionMin...versionMax
  package var node: NodeID
  package var name: String
  /// Random at each start of the process.
  package var bootID: UInt64
  /// The addressee's boot whose HELLO this node has accepted, 0 for none: an addressee of another boot says its own.
  package var knownBootID: UInt64
  package var actor: ActorID
  /// Nil while the node belongs to no cluster yet.
  package var cluster: ClusterIdentity?
  /// Digest of the member list the node was configured with.
  package var membersDigest: UInt64
  package var ringEpoch: UInt64
  package var wallMilliseconds: UInt64
  /// Of the sender's file `node`, as it is on disk; and the starts that it names, oldest first (rule LINEAGE).
  package var edition: UInt64
  package var lineage: [BootEdition]
  package init(
    node: NodeID, name: String, bootID: UInt64, knownBootID: UInt64, actor: ActorID, cluster: ClusterIdentity?,
    membersDigest: UInt64, ringEpoch: UInt64, wallMilliseconds: UInt64, edition: UInt64 = 0,
    lineage: [BootEdition] = []
  ) {
    self.node = node
    self.name = name
    self.bootID = bootID
    self.knownBootID = knownBootID
    self.actor = actor
    self.cluster = cluster
    self.membersDigest = membersDigest
    self.ringEpoch = ringEpoch
    self.wallMilliseconds = wallMilliseconds
    self.edition = edition
    self.lineage = lineage
  }
}

package enum HelloRefusal: UInt8, Sendable {
  case version = 1
  case otherCluster, otherMembers, unknownNode, actorTaken, nameMismatch
  /// Another process of this member runs, and is heard.
  case clone
  /// It has less in its directory than a process from there had told before (rule LINEAGE).
  case olderCopy
}

package struct HelloReply: Equatable, Sendable {
  /// The boot that said hello: an answer to an earlier boot is ignored.
  package var yourBootID: UInt64
  package var refusal: HelloRefusal?
  /// The highest edition that the sender was told by the addressee's boot before; 0 when none.
  package var knownEdition: UInt64
  package init(yourBootID: UInt64, refusal: HelloRefusal?, knownEdition: UInt64 = 0) {
    self.yourBootID = yourBootID
    self.refusal = refusal
    self.knownEdition = knownEdition
  }
}

/// Why a version is offered (DELETE protocol, PUSH): all of these are unsolicited, and carry the write's own stamp.
package enum PushKind: Equatable, Sendable {
  /// A client's write, from its coordinator to an owner.
  case write
  /// What a read saw as newest, to an owner that lacks it.
  case repair
  /// A hint, to the owner that it was kept for.
  case handoff
  /// A client's write, to a fallback: to be kept as a hint for this owner.
  case hint(for: NodeID)
}

/// A version on its way to a replica (DELETE protocol, PUSH).
package struct Push: Equatable, Sendable {
  package var kind: PushKind
  /// The sender's number for it; 0 where no answer is wanted.
  package var operation: UInt64
  package var store: StoreID
  package var configID: UInt64
  package var key: ObjectKey
  package var version: StoredVersion
  /// Answer as soon as it stands in the file.
  package var wantsApplied: Bool
  /// Answer when it is durable.
  package var wantsSynced: Bool
  package init(
    kind: PushKind = .write, operation: UInt64, store: StoreID, configID: UInt64, key: ObjectKey,
    version: StoredVersion, wantsApplied: Bool, wantsSynced: Bool
  ) {
    self.kind = kind
    self.operation = operation
    self.store = store
    self.configID = configID
    self.key = key
    self.version = version
    self.wantsApplied = wantsApplied
    self.wantsSynced = wantsSynced
  }
}

package enum PushOutcome: Equatable, Sendable {
  case applied(synced: Bool)
  /// The replica holds a higher stamp.
  case haveNewer(Stamp, synced: Bool)
  /// Not above the replica's floor on an absent key.
  case stale(HybridTime)
  /// Of a repair or a hint that was below the floor: every other owner was asked, and what they hold is durable here, or
  /// they hold nothing. The offered version is needed no more.
  case handled
  /// The same, and some owner could not be asked, or too much waits: keep the version and offer it later.
  case retry
  case refused(Refusal)
}

/// Why a node did not take part.
package enum Refusal: UInt8, Sendable {
  case loading = 1
  case fenced, wrongConfig, notOwner, overloaded, clockInDoubt, notReady, damaged
  /// Its disk has no room for values.
  case full
  /// Its disk does not do now what was asked.
  case unavailable
  /// It keeps as many hints as it may.
  case hintsFull
  /// An owner that is up has not found the store's promises whole yet.
  case unvalidated
  /// As many tombstones wait in its store as may.
  case tombstonesFull
}

extension Refusal: CustomStringConvertible {
  /// As it follows the name of the node in an error.
  package var description: String {
    switch self {
    case .loading: "loading"
    case .fenced: "fenced"
    case .wrongConfig: "wrongConfig"
    case .notOwner: "notOwner"
    case .overloaded: "overloaded"
    case .clockInDoubt: "clockInDoubt"
    case .notReady: "notReady"
    case .damaged: "damaged"
    case .full: "its disk is full"
    case .unavailable: "its disk does not answer as it should"
    case .hintsFull: "it keeps as many hints as hints_max allows"
    case .tombstonesFull: "as many tombstones wait in its store as tombstones_max allows"
    case .unvalidated: "its store is not validated by the other owners yet"
    }
  }
}

/// `stamp` repeats the offered stamp: a delete that was stamped anew must not count answers to its earlier stamp.
package struct PushReply: Equatable, Sendable {
  package var operation: UInt64
  package var stamp: Stamp
  package var outcome: PushOutcome
  package init(operation: UInt64, stamp: Stamp, outcome: PushOutcome) {
    self.operation = operation
    self.stamp = stamp
    self.outcome = outcome
  }
}

/// What of a key is asked for.
package enum ReadSubject: UInt8, Sendable {
  /// What an owner holds.
  case value = 1
  /// Of what an owner holds, the stamp alone.
  case digest
  /// What a fallback keeps for owners of the key, as hints.
  case hint
}

package struct PeerRead: Equatable, Sendable {
  package var subject: ReadSubject
  package var operation: UInt64
  package var store: StoreID
  package var configID: UInt64
  package var key: ObjectKey
  package init(
    _ subject: ReadSubject = .value, operation: UInt64, store: StoreID, configID: UInt64, key: ObjectKey
  ) {
    self.subject = subject
    self.operation = operation
    self.store = store
    self.configID = configID
    self.key = key
  }
}

package enum ReadOutcome: Equatable, Sendable {
  case found(StoredVersion)
  /// Found as well, and this is all that was asked for.
  case digest(Stamp, isTombstone: Bool, expiry: Expiry = .never)
  case absent(floor: Stamp)
  case refused(Refusal)
}

package struct PeerReadReply: Equatable, Sendable {
  package var operation: UInt64
  package var outcome: ReadOutcome
  /// The owners of the store, by their place among them, with which the sender's store is validated; of a fallback 0.
  package var validatedWith: UInt16
  package init(operation: UInt64, outcome: ReadOutcome, validatedWith: UInt16 = 0) {
    self.operation = operation
    self.outcome = outcome
    self.validatedWith = validatedWith
  }
}

/// A write handed to an owner to coordinate, by the node that its client talks to.
package struct Forward: Equatable, Sendable {
  package var operation: UInt64
  /// The sender's boot: names the operation across restarts of the sender.
  package var bootID: UInt64
  /// A put or a delete.
  package var request: ClientRequest
  /// The write's stamp, a put's one for life. Nil where the sender doubts its clock: it asks for the loan of a stamp, and
  /// nothing is applied for this message.
  package var stamp: Stamp?
  /// True while no node can have applied the stamp: a put that loses may then be refused with `restamp`.
  package var isFirstAttempt: Bool
  package var remainingMilliseconds: UInt32
  package init(
    operation: UInt64, bootID: UInt64, request: ClientRequest, stamp: Stamp?, isFirstAttempt: Bool,
    remainingMilliseconds: UInt32
  ) {
    self.operation = operation
    self.bootID = bootID
    self.request = request
    self.stamp = stamp
    self.isFirstAttempt = isFirstAttempt
    self.remainingMilliseconds = remainingMilliseconds
  }
}

package enum ForwardOutcome: Equatable, Sendable {
  case done(ClientResponse)
  /// Something newer is there: offer the write again with a stamp above this time, if its client still waits. Of a put,
  /// nothing was applied.
  case restamp(HybridTime)
  /// Nothing was applied: offer the write again with this stamp, which is yours.
  case loan(Stamp)
  /// Nothing was applied: offer the write to another owner.
  case refused(Refusal)
}

package struct ForwardReply: Equatable, Sendable {
  package var operation: UInt64
  package var bootID: UInt64
  package var outcome: ForwardOutcome
  package init(operation: UInt64, bootID: UInt64, outcome: ForwardOutcome) {
    self.operation = operation
    self.bootID = bootID
    self.outcome = outcome
  }
}

/// Asks an owner for a page of a store's keys. Asking again does no harm; `sequence` tells the answers apart.
package struct PeerList: Equatable, Sendable {
  package var operation: UInt64
  package var sequence: UInt32
  package var store: StoreID
  package var configID: UInt64
  /// The hash at which the page begins.
  package var from: UInt64
  package var pattern: KeyPattern
  package init(
    operation: UInt64, sequence: UInt32, store: StoreID, configID: UInt64, from: UInt64, pattern: KeyPattern
  ) {
    self.operation = operation
    self.sequence = sequence
    self.store = store
    self.configID = configID
    self.from = from
    self.pattern = pattern
  }
}

package enum ListOutcome: Equatable, Sendable {
  case page(KeyPage)
  case refused(Refusal)
}

package struct PeerListReply: Equatable, Sendable {
  package var operation: UInt64
  package var sequence: UInt32
  package var outcome: ListOutcome
  package init(operation: UInt64, sequence: UInt32, outcome: ListOutcome) {
    self.operation = operation
    self.sequence = sequence
    self.outcome = outcome
  }
}
