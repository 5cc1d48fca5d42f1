"""Kamailio as a provider, a registrar with digest that sends calls to who registered; and as a PBX with phones."""

import pathlib
import re
import shutil
import socket
import tempfile

from .ports import free_port
from .process import Process, expect, run, wait_until

_CONFIG = """\
debug=2 log_stderror=yes fork=yes children=1 auto_aliases=no {streams}
listen=udp:127.0.0.1:{port} alias="{domain}"
loadmodule "kex.so" loadmodule "tm.so" loadmodule "sl.so" loadmodule "rr.so" loadmodule "pv.so"
loadmodule "textops.so" loadmodule "siputils.so" loadmodule "usrloc.so" loadmodule "registrar.so"
loadmodule "auth.so" loadmodule "htable.so" {modules}
modparam("registrar","gruu_enabled",0) modparam("registrar","max_expires",{expires})
modparam("htable","htable","pw=>size=4;") modparam("htable","htable","did=>size=4;")
event_route[htable:mod-init] {{ {tables} }}
request_route {{
  force_rport();
  if (is_method("CANCEL")) {{ if (t_check_trans()) t_relay(); exit; }}
  if (has_totag()) {{
    if (loose_route()) {{ t_relay(); exit; }}
    if (is_method("ACK")) {{ if (t_check_trans()) t_relay(); exit; }}
    sl_send_reply("404","Not Here"); exit;
  }}
  $var(p)=$sht(pw=>$au);
  if (is_method("REGISTER")) {{
    if ($au==$null || $var(p)==$null || !pv_www_authenticate("{domain}","$var(p)","0")) {{
      www_challenge("{domain}","1"); exit;
    }}
    if ($au!=$tU) {{ sl_send_reply("403","Wrong user"); exit; }}
    {flow}
    if (!save("location")) sl_reply_error();
    exit;
  }}
  # The public side is known by its port.
  if ($sp!={public}) {{
    if ($au==$null || $var(p)==$null || !pv_proxy_authenticate("{domain}","$var(p)","0")) {{
      proxy_challenge("{domain}","1"); exit;
    }}
    consume_credentials();
    record_route();
    $du="sip:127.0.0.1:{public}";
    if (!t_relay()) sl_reply_error();
    exit;
  }}
  record_route();
  if ($sht(did=>$rU)==$null) {{ sl_send_reply("404","No such number"); exit; }}
  $rU=$sht(did=>$rU);
  if (!lookup("location")) {{ sl_send_reply("480","Not registered"); exit; }}
  if (!t_relay()) sl_reply_error();
}}
"""


_PBX = """\
debug=2 log_stderror=yes fork=yes children=2 auto_aliases=no disable_tcp=yes
listen=udp:127.0.0.1:{port} alias="{domain}"
loadmodule "kex.so" loadmodule "tm.so" loadmodule "sl.so" loadmodule "rr.so" loadmodule "pv.so"
loadmodule "textops.so" loadmodule "siputils.so" loadmodule "usrloc.so" loadmodule "registrar.so"
loadmodule "auth.so" loadmodule "htable.so" loadmodule "xlog.so" loadmodule "ctl.so"
modparam("ctl","binrpc","unix:{control}") modparam("htable","htable","pw=>size=4;")
event_route[htable:mod-init] {{ {tables} }}
request_route {{
  force_rport();
  if (is_method("CANCEL")) {{ if (t_check_trans()) t_relay(); exit; }}
  if (has_totag()) {{
    if (loose_route()) {{ t_relay(); exit; }}
    if (is_method("ACK")) {{ if (t_check_trans()) t_relay(); exit; }}
    sl_send_reply("404","Not Here"); exit;
  }}
  if (is_method("OPTIONS")) {{ sl_send_reply("200","OK"); exit; }}
  $var(p)=$sht(pw=>$au);
  if (is_method("REGISTER")) {{
    xlog("L_NOTICE","pbx: REGISTER $tU\\n");
    if ($au==$null || $var(p)==$null || !pv_www_authenticate("{domain}","$var(p)","0")) {{
      www_challenge("{domain}","1"); exit;
    }}
    if ($au!=$tU) {{ sl_send_reply("403","Wrong user"); exit; }}
    if (!save("location")) sl_reply_error();
    exit;
  }}
  if ($au==$null || $var(p)==$null || !pv_proxy_authenticate("{domain}","$var(p)","0")) {{
    proxy_challenge("{domain}","1"); exit;
  }}
  if ($au!=$fU) {{ sl_send_reply("403","Wrong user"); exit; }}
  consume_credentials();
  record_route();
  if (!lookup("location")) {{ sl_send_reply("480","Not registered"); exit; }}
  if (!t_relay()) sl_reply_error();
}}
"""


def launch(name, config, run, memory=8):
    """The process, in the foreground; `run` is a folder for its sockets, `memory` its private one in MB."""
    return Process(
        name,
        ["kamailio", "-DD", "-E", "-Y", run, "-P", run / "pid", "-w", run, "-m", "32", "-M", str(memory),
         "-f", config], run.parent)


class _Server:
    """A Kamailio of 127.0.0.1 that is started again with a memory of its own each time."""

    def __init__(self, folder, domain):
        self.folder = pathlib.Path(folder) / "kamailio"
        self.folder.mkdir(exist_ok=True)
        self.domain, self.port = domain, free_port()
        self.address = f"127.0.0.1:{self.port}"
        self.config = self.folder / "kamailio.cfg"
        self.process, self._starts = None, 0

    def start(self):
        self._starts += 1
        run = self.folder / f"run-{self._starts}"
        run.mkdir()
        self.process = launch(f"kamailio-{self._starts}", self.config, run)

        def listens():
            expect(self.process.running(), f"Kamailio did not start: {self.process.text()[-600:]}")
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
                try:
                    probe.bind(("127.0.0.1", self.port))
                    return False
                except OSError:
                    return True
        wait_until(listens, 10, "Kamailio to listen", 0.05)
        return self

    def stop(self):
        if self.process:
            self.process.stop(5)


class PBX(_Server):
    """A registrar and proxy for phones, with digest for every request; `accounts` are passwords by name."""

    def __init__(self, folder, domain, accounts):
        super().__init__(folder, domain)
        # A Unix socket's path has to be short, and a test's folder may not be.
        self.control = pathlib.Path(tempfile.mkdtemp(prefix="pbx")) / "c"
        tables = " ".join(f'$sht(pw=>{name})="{password}";' for name, password in accounts.items())
        self.config.write_text(_PBX.format(port=self.port, domain=domain, tables=tables, control=self.control))

    def contacts(self):
        """The contacts that it knows, as it knows them."""
        code, text = run(["kamcmd", "-s", f"unix:{self.control}", "ul.dump"], 5)
        expect(code == 0, f"kamcmd: {text}")
        return re.findall(r"Address: (\S+)", text)

    def registers(self):
        """REGISTERs that came since it was started."""
        return self.process.text().count("pbx: REGISTER")

    def start(self):
        self.control.parent.mkdir(exist_ok=True)
        return super().start()

    def stop(self):
        super().stop()
        shutil.rmtree(self.control.parent, ignore_errors=True)


class Kamailio(_Server):
    """`accounts` are passwords by name, `numbers` the account that each number rings. `tls`: it also listens by TLS,
    on the port `secure`, with this certificate and key, and wants one of the same authority from whoever connects."""

    def __init__(self, folder, domain, accounts, numbers, expires=3600, tls=None):
        super().__init__(folder, domain)
        self.public = free_port()
        self.secure = free_port()
        streams, modules, flow = "disable_tcp=yes", "", ""
        if tls:
            certificate, key, authority = tls
            settings = self.folder / "tls.cfg"
            settings.write_text(
                "[server:default]\nmethod = TLSv1.2+\nverify_certificate = yes\nrequire_certificate = yes\n"
                f"private_key = {key}\ncertificate = {certificate}\nca_list = {authority}\n"
                "[client:default]\nverify_certificate = no\n")
            streams = f"enable_tls=yes tcp_children=1 tcp_accept_no_cl=yes\nlisten=tls:127.0.0.1:{self.secure}"
            # Calls go by the connection that registered.
            modules = (f'loadmodule "tls.so" modparam("tls","config","{settings}") loadmodule "nathelper.so" '
                       'modparam("nathelper|registrar","received_avp","$avp(rcv)")')
            flow = "fix_nated_register();"
        tables = " ".join(
            [f'$sht(pw=>{name})="{password}";' for name, password in accounts.items()]
            + [f'$sht(did=>{number})="{name}";' for number, name in numbers.items()])
        self.config.write_text(_CONFIG.format(
            port=self.port, domain=domain, expires=expires, tables=tables, public=self.public, streams=streams,
            modules=modules, flow=flow))
