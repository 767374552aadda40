"""Sends one instant message with pjsua2, and prints what its status callback says.

    python pjsua2-send.py --server 127.0.0.1:5060 --user bob --target alice --body hello

It answers the challenge of the proxy (digest), over UDP. Prints one line of JSON:
{"event": "status", "code": 202, "reason": "Accepted", "body": "hello"}.
"""

import argparse
import json

import pjsua2 as pj

DOMAIN = "example.test"


def arguments():
    parser = argparse.ArgumentParser()
    for name in ["--server", "--user", "--target", "--body"]:
        parser.add_argument(name, required=True)
    return parser.parse_args()


class Account(pj.Account):
    """An account that remembers how its message ended."""

    status = None

    def onInstantMessageStatus(self, prm):
        self.status = {
            "event": "status",
            "code": prm.code,
            "reason": prm.reason,
            "body": prm.msgBody,
        }


def main():
    given = arguments()
    endpoint = pj.Endpoint()
    endpoint.libCreate()
    config = pj.EpConfig()
    config.logConfig.level = 4
    config.logConfig.consoleLevel = 4
    # Without threads of its own, every callback comes from libHandleEvents below.
    config.uaConfig.threadCnt = 0
    config.uaConfig.mainThreadOnly = True
    endpoint.libInit(config)
    endpoint.audDevManager().setNullDev()
    transport = pj.TransportConfig()
    transport.boundAddress = "127.0.0.1"
    transport.port = 0
    endpoint.transportCreate(pj.PJSIP_TRANSPORT_UDP, transport)
    endpoint.libStart()

    settings = pj.AccountConfig()
    settings.idUri = f"sip:{given.user}@{DOMAIN}"
    secret = f"{given.user}-secret"
    settings.sipConfig.authCreds.append(
        pj.AuthCredInfo("digest", DOMAIN, given.user, 0, secret)
    )
    settings.sipConfig.proxies.append(f"sip:{given.server};lr")
    account = Account()
    account.create(settings)

    recipient = pj.BuddyConfig()
    recipient.uri = f"sip:{given.target}@{DOMAIN}"
    buddy = pj.Buddy()
    buddy.create(account, recipient)
    message = pj.SendInstantMessageParam()
    message.content = given.body
    buddy.sendInstantMessage(message)
    while account.status is None:
        endpoint.libHandleEvents(100)
    print(json.dumps(account.status), flush=True)
    del buddy
    account.shutdown()
    endpoint.libDestroy()


main()
