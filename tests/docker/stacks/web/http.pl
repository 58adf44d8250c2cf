# Answers every request with the greeting and a page; perl is in Debian's base image, python is not.
use strict; use warnings; use IO::Socket::INET; use IO::Handle;
STDOUT->autoflush(1);
print "starting with $ENV{SECRET}\n";
open(my $page, '<', '/srv/page.txt') or die; my $text = "$ENV{GREETING} " . <$page>;
open(my $log, '>>', '/data/access.log') or die; $log->autoflush(1);
my $server = IO::Socket::INET->new(LocalPort => 8080, Listen => 64, ReuseAddr => 1) or die "no socket: $!";
while (my $client = $server->accept) {
    my $request = <$client> // next;
    while (my $line = <$client>) { last if $line =~ /^\r?$/ }
    print $log $request;
    print $client "HTTP/1.1 200 OK\r\nContent-Length: " . length($text) . "\r\nConnection: close\r\n\r\n$text";
    close $client;
}
