# pragma version 0.4.3
"""
@title  An owner who can only hand over to somebody who answers
@notice A transfer names the next owner; only that address can complete it. There is no way to renounce: a contract
        without an owner could never replace a broken verifier.
"""

event OwnerProposed:
    owner: indexed(address)
    proposed: indexed(address)

event OwnerChanged:
    previous: indexed(address)
    owner: indexed(address)

owner: public(address)
proposed_owner: public(address)


@deploy
def __init__():
    self.owner = msg.sender
    log OwnerChanged(previous=empty(address), owner=msg.sender)


@internal
@view
def _only_owner():
    assert msg.sender == self.owner, "not the owner"


@external
def propose_owner(proposed: address):
    """
    @notice Name the next owner; the zero address withdraws a proposal.
    """
    self._only_owner()
    self.proposed_owner = proposed
    log OwnerProposed(owner=self.owner, proposed=proposed)


@external
def accept_ownership():
    """
    @notice Complete a transfer; only the proposed owner can.
    """
    assert msg.sender == self.proposed_owner, "not the proposed owner"
    log OwnerChanged(previous=self.owner, owner=msg.sender)
    self.owner = msg.sender
    self.proposed_owner = empty(address)
