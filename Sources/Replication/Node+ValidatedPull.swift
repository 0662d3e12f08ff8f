import Causality
import Cluster
import Messages
import Primitives
import Storage

// A validated pull (rule VALIDATED PULL, Docs/DeleteProtocol.md): one hash is asked of all other owners of its store. A record
// that somebody has may be applied at once; that nobody has one is known only when everybody has answered. What is made
// of the answers is up to whoever asked.

struct ValidatedPull: Sendable {
  enum Answer: Equatable, Sendable {
    case waiting
    case answered([PulledRecord], floor: Stamp)
    case refused(Refusal)
    /// It is down, or silent.
    case unreachable
  }

  struct Owner: Sendable {
    let node: NodeID
    var question: ExchangeQuestion?
    var answer = Answer.waiting
  }

  /// By which whoever asked finds the answers.
  let number: UInt64
  let store: StoreID
  let hash: UInt64
  /// Of the store when it was asked: to be given back to `Engine.applyPulled`.
  let generation: PullGeneration
  /// All other owners, in order.
  var owners: [Owner]

  var isDone: Bool { owners.allSatisfy { $0.answer != .waiting } }

  /// Nobody was left out: what is not among the records no owner has.
  var isValid: Bool {
    owners.allSatisfy { if case .answered = $0.answer { true } else { false } }
  }

  /// Of each key with this hash the newest that an owner has, in order of key.
  var newest: [PulledRecord] {
    var newest: [PulledRecord] = []
    for owner in owners {
      guard case .answered(let records, _) = owner.answer else { continue }
      for record in records {
        guard let index = newest.firstIndex(where: { $0.key == record.key }) else {
          newest.append(record)
          continue
        }
        if newest[index].version.rank < record.version.rank { newest[index] = record }
      }
    }
    return newest.sorted { $0.key.lexicographicallyPrecedes($1.key) }
  }

  /// The highest floor of those that answered.
  var floor: Stamp {
    owners.reduce(.zero) { floor, owner in
      if case .answered(_, let other) = owner.answer { max(floor, other) } else { floor }
    }
  }
}

extension Node where Disk: ~Copyable {
  /// Validated pulls at once; one more has to wait.
  static var validationsMax: Int { 16 }

  /// Asks all other owners for everything that they have of this hash. `takeValidated` gives the answers when all have
  /// answered or cannot; who does not want them any more says so by `abandonValidation`.
  /// - Returns: Its number; nil when too many are under way, or this one is. Then nothing has happened.
  mutating func validatedPull(ofHash hash: UInt64, in store: StoreID, at now: Moment) -> UInt64? {
    guard let engine, engine.contains(store),
      exchanges.validations.count + exchanges.validated.count < Self.validationsMax,
      !exchanges.validations.contains(where: { $0.store == store && $0.hash == hash })
    else { return nil }
    var pull = ValidatedPull(
      number: newOperation(.exchange), store: store, hash: hash, generation: engine.pullGeneration(store), owners: [])
    for node in owners(store).sorted() where node != own.id {
      var owner = ValidatedPull.Owner(node: node)
      if peers.isUp(node) {
        let operation = newOperation(.exchange)
        let body = PeerBody.pull(
          PeerPull(
            operation: operation, store: store, configID: configID(store), wantsDurable: true,
            subject: .items([PullItem(hash: hash, above: .zero)])))
        owner.question = ExchangeQuestion(operation: operation, body: body, asked: now.instant)
        send(body, to: node)
      } else {
        owner.answer = .unreachable
      }
      pull.owners.append(owner)
    }
    exchanges.validations.append(pull)
    exchanges.isActive = true
    finishValidations()
    return pull.number
  }

  /// The answers, once; nil as long as an owner is waited for.
  mutating func takeValidated(_ number: UInt64) -> ValidatedPull? {
    guard let index = exchanges.validated.firstIndex(where: { $0.number == number }) else { return nil }
    return exchanges.validated.remove(at: index)
  }

  /// Nobody wants the answers.
  mutating func abandonValidation(_ number: UInt64) {
    exchanges.validations.removeAll { $0.number == number }
    exchanges.validated.removeAll { $0.number == number }
  }

  private mutating func finishValidations() {
    exchanges.validated += exchanges.validations.filter(\.isDone)
    exchanges.validations.removeAll(where: \.isDone)
  }

  /// True when the answer is one to a validated pull.
  mutating func takeValidation(_ reply: PeerPullReply, from node: NodeID, at now: Moment) -> Bool {
    for index in exchanges.validations.indices {
      guard
        let owner = exchanges.validations[index].owners.firstIndex(where: {
          $0.node == node && $0.question?.operation == reply.operation
        })
      else { continue }
      switch reply.outcome {
      case .page(let page):
        let hash = exchanges.validations[index].hash
        let isAsked = page.next == nil && page.records.allSatisfy { self.hash($0.key) == hash }
        settle(index, owner, isAsked ? .answered(page.records, floor: page.floor) : .unreachable)
      case .refused(let refusal):
        if exchanges.validations[index].owners[owner].question?.postpone(refusal, at: now.instant) ?? false {
          return true
        }
        settle(index, owner, .refused(refusal))
      }
      finishValidations()
      return true
    }
    return false
  }

  private mutating func settle(_ index: Int, _ owner: Int, _ answer: ValidatedPull.Answer) {
    exchanges.validations[index].owners[owner].question = nil
    exchanges.validations[index].owners[owner].answer = answer
  }

  mutating func reviewValidations(at now: Moment) {
    for index in exchanges.validations.indices {
      for owner in exchanges.validations[index].owners.indices {
        guard let question = exchanges.validations[index].owners[owner].question, question.due <= now.instant else {
          continue
        }
        if question.tries >= ExchangeQuestion.triesMax {
          settle(index, owner, .unreachable)
        } else {
          let node = exchanges.validations[index].owners[owner].node
          exchanges.validations[index].owners[owner].question = askAgain(question, node, at: now)
        }
      }
    }
    finishValidations()
  }

  /// The node is gone, or begins another life: what it was asked it will not answer.
  mutating func validationsLose(_ node: NodeID) {
    for index in exchanges.validations.indices {
      for owner in exchanges.validations[index].owners.indices
      where exchanges.validations[index].owners[owner].node == node
        && exchanges.validations[index].owners[owner].answer == .waiting
      {
        settle(index, owner, .unreachable)
      }
    }
    finishValidations()
  }
}
