<?xml version="1.0" encoding="utf-8"?>
<!DOCTYPE TS>
<TS version="2.1" language="de" sourcelanguage="en">
<context>
    <name>Whetstone</name>
    <message>
        <source>32-bit</source>
        <translation>32 Bit</translation>
    </message>
    <message>
        <source>32-bit systems</source>
        <translation>32-Bit-Systeme</translation>
    </message>
    <message>
        <source>A Python with PyTorch</source>
        <translation>Ein Python mit PyTorch</translation>
    </message>
    <message>
        <source>A model is given, and {}.</source>
        <translation>Ein Modell ist angegeben, aber {}.</translation>
    </message>
    <message>
        <source>A model of your own instead, such as one that was adapted to this scene; its card (.json) lies beside it.</source>
        <translation>Stattdessen ein eigenes Modell, etwa eines, das an diese Szene angepasst wurde; sein Steckbrief (.json) liegt daneben.</translation>
    </message>
    <message>
        <source>A package was damaged on its way, or changed.</source>
        <translation>Ein Paket wurde unterwegs beschädigt oder verändert.</translation>
    </message>
    <message>
        <source>A security policy blocks {}: {}</source>
        <translation>Eine Sicherheitsrichtlinie sperrt {}: {}</translation>
    </message>
    <message>
        <source>A security policy or missing rights block the installation: {}</source>
        <translation>Eine Sicherheitsrichtlinie oder fehlende Rechte verhindern die Installation: {}</translation>
    </message>
    <message>
        <source>Adapt a model to a scene</source>
        <translation>Ein Modell an eine Szene anpassen</translation>
    </message>
    <message>
        <source>Adapted model</source>
        <translation>Angepasstes Modell</translation>
    </message>
    <message>
        <source>Additional creation options</source>
        <translation>Zusätzliche Erzeugungsoptionen</translation>
    </message>
    <message>
        <source>All about them, as JSON</source>
        <translation>Alles darüber, als JSON</translation>
    </message>
    <message>
        <source>An HTML file with a verdict in plain words, figures, crops and histograms.</source>
        <translation>Eine HTML-Datei mit einem Urteil in klaren Worten, Kennzahlen, Ausschnitten und Histogrammen.</translation>
    </message>
    <message>
        <source>An HTML file with the table, bar charts and crops side by side.</source>
        <translation>Eine HTML-Datei mit der Tabelle, Balkendiagrammen und Ausschnitten nebeneinander.</translation>
    </message>
    <message>
        <source>An HTML page with what was found; the log shows it as well.</source>
        <translation>Eine HTML-Seite mit dem Befund; das Protokoll zeigt ihn ebenfalls.</translation>
    </message>
    <message>
        <source>Another QGIS is installing the engine, or was until a moment ago.</source>
        <translation>Ein anderes QGIS installiert gerade die Engine oder tat es bis vor einem Augenblick.</translation>
    </message>
    <message>
        <source>Ask for 4 or 8 samples.</source>
        <translation>4 oder 8 Stichproben verlangen.</translation>
    </message>
    <message>
        <source>Ask for an exception for this folder, or set WHETSTONE_HOME to a folder of yours.</source>
        <translation>Für diesen Ordner eine Ausnahme erbitten oder WHETSTONE_HOME auf einen eigenen Ordner setzen.</translation>
    </message>
    <message>
        <source>Ask for an exception for this folder.</source>
        <translation>Für diesen Ordner eine Ausnahme erbitten.</translation>
    </message>
    <message>
        <source>Ask for an exception for this folder: {}</source>
        <translation>Für diesen Ordner eine Ausnahme erbitten: {}</translation>
    </message>
    <message>
        <source>Asking the graphics card</source>
        <translation>Grafikkarte wird abgefragt</translation>
    </message>
    <message>
        <source>Asking the graphics card…</source>
        <translation>Grafikkarte wird abgefragt …</translation>
    </message>
    <message>
        <source>Assess a pansharpened image</source>
        <translation>Ein pangeschärftes Bild bewerten</translation>
    </message>
    <message>
        <source>Assess the result</source>
        <translation>Ergebnis bewerten</translation>
    </message>
    <message>
        <source>At most 512 x 512 PAN pixels in the middle of the map are fused.</source>
        <translation>Fusioniert werden höchstens 512 x 512 PAN-Pixel in der Mitte der Karte.</translation>
    </message>
    <message>
        <source>Band {}</source>
        <translation>Kanal {}</translation>
    </message>
    <message>
        <source>Bands</source>
        <translation>Kanäle</translation>
    </message>
    <message>
        <source>Best at hand</source>
        <translation>Das Beste, was da ist</translation>
    </message>
    <message>
        <source>Best method</source>
        <translation>Beste Methode</translation>
    </message>
    <message>
        <source>Border pixels to leave out</source>
        <translation>Auszulassende Randpixel</translation>
    </message>
    <message>
        <source>Both an MS layer and single MS bands are given.</source>
        <translation>Ein MS-Layer und einzelne MS-Kanäle sind zugleich angegeben.</translation>
    </message>
    <message>
        <source>Bring in checkpoints of your own training</source>
        <translation>Checkpoints aus eigenem Training übernehmen</translation>
    </message>
    <message>
        <source>Build</source>
        <translation>Variante</translation>
    </message>
    <message>
        <source>Build overviews</source>
        <translation>Pyramiden erstellen</translation>
    </message>
    <message>
        <source>CC, correlation coefficient (higher is better, 1 is perfect)</source>
        <translation>CC, Korrelationskoeffizient (höher ist besser, 1 ist perfekt)</translation>
    </message>
    <message>
        <source>Cancel</source>
        <translation>Abbrechen</translation>
    </message>
    <message>
        <source>Cancelled.</source>
        <translation>Abgebrochen.</translation>
    </message>
    <message>
        <source>Cancelled; nothing was written.</source>
        <translation>Abgebrochen; es wurde nichts geschrieben.</translation>
    </message>
    <message>
        <source>Change to {}</source>
        <translation>Zu {} wechseln</translation>
    </message>
    <message>
        <source>Check Settings &gt; Options &gt; Network, then try again; finished files are kept.</source>
        <translation>Einstellungen &gt; Optionen &gt; Netzwerk prüfen, dann noch einmal versuchen; fertige Dateien bleiben erhalten.</translation>
    </message>
    <message>
        <source>Check a PAN and MS pair</source>
        <translation>Ein Paar aus PAN und MS prüfen</translation>
    </message>
    <message>
        <source>Check of {}</source>
        <translation>Prüfung von {}</translation>
    </message>
    <message>
        <source>Check the connection and try again; finished files are kept.</source>
        <translation>Die Verbindung prüfen und noch einmal versuchen; fertige Dateien bleiben erhalten.</translation>
    </message>
    <message>
        <source>Checkpoint</source>
        <translation>Checkpoint</translation>
    </message>
    <message>
        <source>Checkpoints are read by the engine; install it first.</source>
        <translation>Checkpoints liest die Engine; sie zuerst installieren.</translation>
    </message>
    <message>
        <source>Choose a folder that you may write to.</source>
        <translation>Einen beschreibbaren Ordner wählen.</translation>
    </message>
    <message>
        <source>Choose among the bands {}.</source>
        <translation>Unter den Kanälen {} wählen.</translation>
    </message>
    <message>
        <source>Choose another Python in Settings &gt; Options &gt; Whetstone, or clear the field there.</source>
        <translation>In Einstellungen &gt; Optionen &gt; Whetstone ein anderes Python wählen oder das Feld dort leeren.</translation>
    </message>
    <message>
        <source>Choose another Python, or clear the field to use the managed engine.</source>
        <translation>Ein anderes Python wählen oder das Feld leeren, um die verwaltete Engine zu verwenden.</translation>
    </message>
    <message>
        <source>Choose another build, use an external engine (path), or a classical method.</source>
        <translation>Eine andere Variante, eine externe Engine (Pfad) oder eine klassische Methode wählen.</translation>
    </message>
    <message>
        <source>Choose another model, or the other algorithm.</source>
        <translation>Ein anderes Modell oder den anderen Algorithmus wählen.</translation>
    </message>
    <message>
        <source>Choose another one in Settings &gt; Options &gt; Whetstone, or clear the field there.</source>
        <translation>In Einstellungen &gt; Optionen &gt; Whetstone ein anderes wählen oder das Feld dort leeren.</translation>
    </message>
    <message>
        <source>Choose the MS layer, or one layer per band.</source>
        <translation>Den MS-Layer wählen oder einen Layer je Kanal.</translation>
    </message>
    <message>
        <source>Choose: {}</source>
        <translation>Noch zu wählen: {}</translation>
    </message>
    <message>
        <source>Classical (GSA)</source>
        <translation>Klassisch (GSA)</translation>
    </message>
    <message>
        <source>Compare at reduced resolution (Wald)</source>
        <translation>Bei verringerter Auflösung vergleichen (Wald)</translation>
    </message>
    <message>
        <source>Compare pansharpening methods</source>
        <translation>Methoden des Pansharpenings vergleichen</translation>
    </message>
    <message>
        <source>Comparing at the scale of the MS</source>
        <translation>Vergleich im Maßstab des MS</translation>
    </message>
    <message>
        <source>Comparing with PAN and MS</source>
        <translation>Vergleich mit PAN und MS</translation>
    </message>
    <message>
        <source>Comparison report</source>
        <translation>Vergleichsbericht</translation>
    </message>
    <message>
        <source>Compute quality figures without a reference after fusing; adds some time.</source>
        <translation>Nach der Fusion Kennzahlen ohne Referenz berechnen; dauert etwas länger.</translation>
    </message>
    <message>
        <source>Confidence of the shift (0 to 1)</source>
        <translation>Sicherheit des Versatzes (0 bis 1)</translation>
    </message>
    <message>
        <source>Copied</source>
        <translation>Kopiert</translation>
    </message>
    <message>
        <source>Copy diagnostics</source>
        <translation>Diagnose kopieren</translation>
    </message>
    <message>
        <source>Copy diagnostics copies the log; Repair tries again.</source>
        <translation>„Diagnose kopieren“ kopiert das Protokoll; „Reparieren“ versucht es noch einmal.</translation>
    </message>
    <message>
        <source>Correct the result until, seen through the MS sensor, it is exactly the MS again, noise included. The bundled models do so anyway as far as noise allows, where the sensor is known and the scene shows its MTF.</source>
        <translation>Das Ergebnis korrigieren, bis es, durch den MS-Sensor gesehen, genau wieder das MS ist, samt dessen Rauschen. Die mitgelieferten Modelle tun das ohnehin, soweit das Rauschen es zulässt, wenn der Sensor bekannt ist und die Szene seine MTF zeigt.</translation>
    </message>
    <message>
        <source>Correct the shift between PAN and MS</source>
        <translation>Versatz zwischen PAN und MS korrigieren</translation>
    </message>
    <message>
        <source>CrossDiff checkpoints (three)</source>
        <translation>CrossDiff-Checkpoints (drei)</translation>
    </message>
    <message>
        <source>D_lambda, spectral distortion (lower is better)</source>
        <translation>D_lambda, spektrale Verzerrung (niedriger ist besser)</translation>
    </message>
    <message>
        <source>D_lambda_K, spectral distortion after Khan (lower is better)</source>
        <translation>D_lambda_K, spektrale Verzerrung nach Khan (niedriger ist besser)</translation>
    </message>
    <message>
        <source>D_rho, spatial distortion by local correlation (lower is better)</source>
        <translation>D_rho, räumliche Verzerrung aus lokaler Korrelation (niedriger ist besser)</translation>
    </message>
    <message>
        <source>D_s, spatial distortion (lower is better)</source>
        <translation>D_s, räumliche Verzerrung (niedriger ist besser)</translation>
    </message>
    <message>
        <source>Data type</source>
        <translation>Datentyp</translation>
    </message>
    <message>
        <source>Degraded MS</source>
        <translation>Vergröbertes MS</translation>
    </message>
    <message>
        <source>Degraded PAN</source>
        <translation>Vergröbertes PAN</translation>
    </message>
    <message>
        <source>Degrading</source>
        <translation>Vergröbern</translation>
    </message>
    <message>
        <source>Delete</source>
        <translation>Löschen</translation>
    </message>
    <message>
        <source>Delete the model {} and its card? This cannot be undone.</source>
        <translation>Das Modell {} und seinen Steckbrief löschen? Das lässt sich nicht rückgängig machen.</translation>
    </message>
    <message>
        <source>Demo MS</source>
        <translation>Demo MS</translation>
    </message>
    <message>
        <source>Demo PAN</source>
        <translation>Demo PAN</translation>
    </message>
    <message>
        <source>Device</source>
        <translation>Gerät</translation>
    </message>
    <message>
        <source>Did you swap PAN and MS?</source>
        <translation>Sind PAN und MS vertauscht?</translation>
    </message>
    <message>
        <source>Done</source>
        <translation>Fertig</translation>
    </message>
    <message>
        <source>Download</source>
        <translation>Herunterladen</translation>
    </message>
    <message>
        <source>Downloading {}</source>
        <translation>{} wird heruntergeladen</translation>
    </message>
    <message>
        <source>Drawing the demo scene</source>
        <translation>Demo-Szene wird gezeichnet</translation>
    </message>
    <message>
        <source>ERGAS</source>
        <translation>ERGAS</translation>
    </message>
    <message>
        <source>ERGAS of MTF-GLP-FS on what was held out</source>
        <translation>ERGAS von MTF-GLP-FS auf dem Zurückgehaltenen</translation>
    </message>
    <message>
        <source>ERGAS of plain interpolation on what was held out</source>
        <translation>ERGAS der bloßen Interpolation auf dem Zurückgehaltenen</translation>
    </message>
    <message>
        <source>ERGAS of the adapted model on what was held out</source>
        <translation>ERGAS des angepassten Modells auf dem Zurückgehaltenen</translation>
    </message>
    <message>
        <source>ERGAS of the image that the model adds to, on what was held out</source>
        <translation>ERGAS des Bildes, zu dem das Modell hinzufügt, auf dem Zurückgehaltenen</translation>
    </message>
    <message>
        <source>ERGAS, relative global error (lower is better)</source>
        <translation>ERGAS, relativer Gesamtfehler (niedriger ist besser)</translation>
    </message>
    <message>
        <source>Engine and models</source>
        <translation>Engine und Modelle</translation>
    </message>
    <message>
        <source>Engine and models…</source>
        <translation>Engine und Modelle …</translation>
    </message>
    <message>
        <source>Engine for the deep models</source>
        <translation>Engine für die Deep-Learning-Modelle</translation>
    </message>
    <message>
        <source>Engine status</source>
        <translation>Zustand der Engine</translation>
    </message>
    <message>
        <source>Estimated shift of PAN against MS in x (PAN pixels)</source>
        <translation>Geschätzter Versatz von PAN gegen MS in x (PAN-Pixel)</translation>
    </message>
    <message>
        <source>Estimated shift of PAN against MS in y (PAN pixels)</source>
        <translation>Geschätzter Versatz von PAN gegen MS in y (PAN-Pixel)</translation>
    </message>
    <message>
        <source>Extent to fuse</source>
        <translation>Zu fusionierende Ausdehnung</translation>
    </message>
    <message>
        <source>Extent to learn from</source>
        <translation>Ausdehnung, aus der gelernt wird</translation>
    </message>
    <message>
        <source>Fetching {}</source>
        <translation>{} wird geholt</translation>
    </message>
    <message>
        <source>Finished model with its card (.safetensors and .json)</source>
        <translation>Fertiges Modell mit seinem Steckbrief (.safetensors und .json)</translation>
    </message>
    <message>
        <source>Finishing the file</source>
        <translation>Datei fertigstellen</translation>
    </message>
    <message>
        <source>First adapt a CrossDiff model to the pair that is compared, without its truth. 0 leaves that out.</source>
        <translation>Zuerst ein CrossDiff-Modell an das Paar anpassen, das verglichen wird, ohne dessen Wahrheit. 0 lässt das weg.</translation>
    </message>
    <message>
        <source>First degrade PAN and MS by their ratio, so that the original MS is the truth to compare with. The surest ranking; the fused images are then as coarse as the MS.</source>
        <translation>PAN und MS zuerst um ihr Verhältnis vergröbern, so dass das ursprüngliche MS die Wahrheit zum Vergleichen ist. Die sicherste Rangfolge; die fusionierten Bilder sind dann so grob wie das MS.</translation>
    </message>
    <message>
        <source>Folder: {} ({} GB are free)</source>
        <translation>Ordner: {} ({} GB sind frei)</translation>
    </message>
    <message>
        <source>Format</source>
        <translation>Format</translation>
    </message>
    <message>
        <source>From</source>
        <translation>Herkunft</translation>
    </message>
    <message>
        <source>Full scale</source>
        <translation>Vollausschlag</translation>
    </message>
    <message>
        <source>Fuse only this part; the pixels there are the same as when the whole is fused. Any coordinate system will do.</source>
        <translation>Nur diesen Teil fusionieren; die Pixel sind dort dieselben wie bei der ganzen Szene. Jedes Koordinatenbezugssystem ist recht.</translation>
    </message>
    <message>
        <source>Fuse only what the map canvas shows, at most {0} x {0} PAN pixels around its middle: seconds instead of minutes. Without a map, the middle of the extent.</source>
        <translation>Nur fusionieren, was die Karte zeigt, höchstens {0} x {0} PAN-Pixel um ihre Mitte: Sekunden statt Minuten. Ohne Karte die Mitte der Ausdehnung.</translation>
    </message>
    <message>
        <source>Fused image</source>
        <translation>Fusioniertes Bild</translation>
    </message>
    <message>
        <source>Fused images</source>
        <translation>Fusionierte Bilder</translation>
    </message>
    <message>
        <source>Fusing</source>
        <translation>Fusionieren</translation>
    </message>
    <message>
        <source>Fusion</source>
        <translation>Fusion</translation>
    </message>
    <message>
        <source>Fusion head</source>
        <translation>Fusionskopf</translation>
    </message>
    <message>
        <source>GDAL cannot open {} with {}.</source>
        <translation>GDAL kann {} nicht mit {} öffnen.</translation>
    </message>
    <message>
        <source>GDAL creation options, for example COMPRESS=ZSTD|ZLEVEL=9. Without any, the file is tiled and compressed (deflate with predictor), and BigTIFF when it may become large.</source>
        <translation>GDAL-Erzeugungsoptionen, zum Beispiel COMPRESS=ZSTD|ZLEVEL=9. Ohne Angabe wird die Datei gekachelt und komprimiert (Deflate mit Prädiktor), und als BigTIFF, wenn sie groß werden kann.</translation>
    </message>
    <message>
        <source>Get it again.</source>
        <translation>Es noch einmal holen.</translation>
    </message>
    <message>
        <source>Get the chosen model; a broken download goes on.</source>
        <translation>Das gewählte Modell holen; ein abgebrochener Download geht weiter.</translation>
    </message>
    <message>
        <source>Give either of them.</source>
        <translation>Nur eines von beiden angeben.</translation>
    </message>
    <message>
        <source>Give it a name of letters, digits, hyphens and dots.</source>
        <translation>Einen Namen aus Buchstaben, Ziffern, Bindestrichen und Punkten geben.</translation>
    </message>
    <message>
        <source>Ground truth (original MS)</source>
        <translation>Wahrheit (ursprüngliches MS)</translation>
    </message>
    <message>
        <source>HQNR, hybrid QNR (higher is better, 1 is perfect)</source>
        <translation>HQNR, hybride QNR (höher ist besser, 1 ist perfekt)</translation>
    </message>
    <message>
        <source>HTML files (*.html)</source>
        <translation>HTML-Dateien (*.html)</translation>
    </message>
    <message>
        <source>How to fuse. gsa is a good first choice; the help page says more. {}.</source>
        <translation>Wie fusioniert wird. gsa ist eine gute erste Wahl; die Hilfeseite sagt mehr. {}.</translation>
    </message>
    <message>
        <source>Hugging Face</source>
        <translation>Hugging Face</translation>
    </message>
    <message>
        <source>If your network inspects traffic, add its certificate in Settings &gt; Options &gt; Authentication, then try again.</source>
        <translation>Wenn das Netz den Datenverkehr prüft, sein Zertifikat in Einstellungen &gt; Optionen &gt; Authentifizierung hinzufügen, dann noch einmal versuchen.</translation>
    </message>
    <message>
        <source>Image of the best method</source>
        <translation>Bild der besten Methode</translation>
    </message>
    <message>
        <source>Import</source>
        <translation>Importieren</translation>
    </message>
    <message>
        <source>Import a model</source>
        <translation>Ein Modell importieren</translation>
    </message>
    <message>
        <source>Importing {}</source>
        <translation>{} wird importiert</translation>
    </message>
    <message>
        <source>Import…</source>
        <translation>Importieren …</translation>
    </message>
    <message>
        <source>Install</source>
        <translation>Installieren</translation>
    </message>
    <message>
        <source>Install Python {}.{} from python.org (64-bit), then press Install again.</source>
        <translation>Python {}.{} von python.org installieren (64 Bit), dann noch einmal Installieren drücken.</translation>
    </message>
    <message>
        <source>Install Python {}.{} with its venv module, then press Install again.</source>
        <translation>Python {}.{} mit seinem Modul venv installieren, dann noch einmal Installieren drücken.</translation>
    </message>
    <message>
        <source>Install it: sudo apt install python3-venv. Then press Install again.</source>
        <translation>So installieren: sudo apt install python3-venv. Dann noch einmal Installieren drücken.</translation>
    </message>
    <message>
        <source>Install the Microsoft Visual C++ runtime, then restart QGIS.</source>
        <translation>Die Microsoft-Visual-C++-Laufzeit installieren, dann QGIS neu starten.</translation>
    </message>
    <message>
        <source>Installing packages</source>
        <translation>Pakete werden installiert</translation>
    </message>
    <message>
        <source>Installing the engine</source>
        <translation>Engine wird installiert</translation>
    </message>
    <message>
        <source>Installing {} packages</source>
        <translation>{} Pakete werden installiert</translation>
    </message>
    <message>
        <source>Instead of MS: one raster layer per band, in the order in which the bands shall stand in the result (for example B2, B3, B4 of a Landsat scene).</source>
        <translation>Statt MS: ein Rasterlayer je Kanal, in der Reihenfolge, in der die Kanäle im Ergebnis stehen sollen (zum Beispiel B2, B3, B4 einer Landsat-Szene).</translation>
    </message>
    <message>
        <source>It ends earlier when the model gets no better. Cancel keeps the best model so far, if it is better than what needs no training.</source>
        <translation>Es endet früher, wenn das Modell nicht mehr besser wird. Abbrechen behält das bisher beste Modell, wenn es besser ist als das, was kein Training braucht.</translation>
    </message>
    <message>
        <source>It was ended; QGIS is not affected. Try again.</source>
        <translation>Sie wurde beendet; QGIS ist nicht betroffen. Noch einmal versuchen.</translation>
    </message>
    <message>
        <source>Its last words: {}</source>
        <translation>Ihre letzten Worte: {}</translation>
    </message>
    <message>
        <source>JSON files (*.json)</source>
        <translation>JSON-Dateien (*.json)</translation>
    </message>
    <message>
        <source>Keep to the measured MS</source>
        <translation>Am gemessenen MS festhalten</translation>
    </message>
    <message>
        <source>Learn from this part only: leave out clouds, or water that fills the scene.</source>
        <translation>Nur aus diesem Teil lernen: Wolken auslassen oder Wasser, das die Szene füllt.</translation>
    </message>
    <message>
        <source>Learning the scene</source>
        <translation>Szene lernen</translation>
    </message>
    <message>
        <source>Leave out that many pixels along the border when comparing with a reference, as published tables do (21 at ratio 4).</source>
        <translation>Beim Vergleich mit einer Referenz so viele Pixel am Rand auslassen, wie es veröffentlichte Tabellen tun (21 beim Verhältnis 4).</translation>
    </message>
    <message>
        <source>Leave the model out, or choose ssdiff or crossdiff without adaptation.</source>
        <translation>Das Modell weglassen, oder ssdiff oder crossdiff ohne Anpassung wählen.</translation>
    </message>
    <message>
        <source>Left out: {}</source>
        <translation>Ausgelassen: {}</translation>
    </message>
    <message>
        <source>Licence</source>
        <translation>Lizenz</translation>
    </message>
    <message>
        <source>List as a file</source>
        <translation>Liste als Datei</translation>
    </message>
    <message>
        <source>List the models</source>
        <translation>Die Modelle auflisten</translation>
    </message>
    <message>
        <source>Load into the project</source>
        <translation>In das Projekt laden</translation>
    </message>
    <message>
        <source>Loads PyTorch, checks projections, fuses 64 × 64 pixels</source>
        <translation>Lädt PyTorch, prüft Projektionen, fusioniert 64 × 64 Pixel</translation>
    </message>
    <message>
        <source>Looking at the pixels</source>
        <translation>Pixel ansehen</translation>
    </message>
    <message>
        <source>Looking for a Python</source>
        <translation>Ein Python wird gesucht</translation>
    </message>
    <message>
        <source>MS</source>
        <translation>MS</translation>
    </message>
    <message>
        <source>MS bands</source>
        <translation>MS-Kanäle</translation>
    </message>
    <message>
        <source>MS to PAN (M2P)</source>
        <translation>MS nach PAN (M2P)</translation>
    </message>
    <message>
        <source>Macs with an Intel processor</source>
        <translation>Macs mit Intel-Prozessor</translation>
    </message>
    <message>
        <source>Make a reduced-resolution pair (Wald)</source>
        <translation>Ein Paar verringerter Auflösung erstellen (Wald)</translation>
    </message>
    <message>
        <source>Make room, or set WHETSTONE_HOME to a folder on another disk.</source>
        <translation>Platz schaffen oder WHETSTONE_HOME auf einen Ordner eines anderen Laufwerks setzen.</translation>
    </message>
    <message>
        <source>Making the environment</source>
        <translation>Umgebung wird angelegt</translation>
    </message>
    <message>
        <source>Method</source>
        <translation>Methode</translation>
    </message>
    <message>
        <source>Methods</source>
        <translation>Methoden</translation>
    </message>
    <message>
        <source>Minutes to adapt CrossDiff</source>
        <translation>Minuten zum Anpassen von CrossDiff</translation>
    </message>
    <message>
        <source>Minutes to train</source>
        <translation>Minuten zum Trainieren</translation>
    </message>
    <message>
        <source>Model</source>
        <translation>Modell</translation>
    </message>
    <message>
        <source>Model file</source>
        <translation>Modelldatei</translation>
    </message>
    <message>
        <source>Model that was used</source>
        <translation>Verwendetes Modell</translation>
    </message>
    <message>
        <source>Models</source>
        <translation>Modelle</translation>
    </message>
    <message>
        <source>Models (*.safetensors)</source>
        <translation>Modelle (*.safetensors)</translation>
    </message>
    <message>
        <source>Multispectral bands as single files</source>
        <translation>Multispektrale Kanäle als einzelne Dateien</translation>
    </message>
    <message>
        <source>Multispectral image (MS)</source>
        <translation>Multispektrales Bild (MS)</translation>
    </message>
    <message>
        <source>Name</source>
        <translation>Name</translation>
    </message>
    <message>
        <source>Names, with commas</source>
        <translation>Namen, mit Kommas</translation>
    </message>
    <message>
        <source>No NVIDIA graphics card was found (nvidia-smi does not answer).</source>
        <translation>Keine NVIDIA-Grafikkarte gefunden (nvidia-smi antwortet nicht).</translation>
    </message>
    <message>
        <source>No Python {}.{} to {}.{} was found that can make an environment. Looked at: {}.</source>
        <translation>Kein Python {}.{} bis {}.{} gefunden, das eine Umgebung anlegen kann. Gesehen wurden: {}.</translation>
    </message>
    <message>
        <source>No multispectral image is given.</source>
        <translation>Kein multispektrales Bild angegeben.</translation>
    </message>
    <message>
        <source>Noise</source>
        <translation>Rauschen</translation>
    </message>
    <message>
        <source>Now press the preview button, or open Whetstone &gt; Fusion in the Processing Toolbox.</source>
        <translation>Nun den Vorschauknopf drücken oder in den Verarbeitungswerkzeugen Whetstone &gt; Fusion öffnen.</translation>
    </message>
    <message>
        <source>Number of models on this machine</source>
        <translation>Anzahl der Modelle auf diesem Rechner</translation>
    </message>
    <message>
        <source>Of the random numbers; the same seed gives the same result.</source>
        <translation>Der Zufallszahlen; derselbe Startwert ergibt dasselbe Ergebnis.</translation>
    </message>
    <message>
        <source>On a Mac there is one build; it uses the graphics processor through MPS.</source>
        <translation>Auf dem Mac gibt es nur eine Variante; sie nutzt den Grafikprozessor über MPS.</translation>
    </message>
    <message>
        <source>On what was held out: {} has ERGAS {:.3f}</source>
        <translation>Auf dem Zurückgehaltenen: {} hat ERGAS {:.3f}</translation>
    </message>
    <message>
        <source>One of: {}.</source>
        <translation>Eines von: {}.</translation>
    </message>
    <message>
        <source>Only GeoTIFF can be written block by block. Choose a file name that ends in .tif.</source>
        <translation>Nur GeoTIFF lässt sich Block für Block schreiben. Einen Dateinamen wählen, der auf .tif endet.</translation>
    </message>
    <message>
        <source>Only models in your own folder can be deleted</source>
        <translation>Nur Modelle im eigenen Ordner lassen sich löschen</translation>
    </message>
    <message>
        <source>Open Settings &gt; Options &gt; Whetstone and press Install (about 1 GB for CPU), or choose a classical method, which needs nothing.</source>
        <translation>Einstellungen &gt; Optionen &gt; Whetstone öffnen und Installieren drücken (etwa 1 GB für die CPU) oder eine klassische Methode wählen, die nichts braucht.</translation>
    </message>
    <message>
        <source>Open Settings &gt; Options &gt; Whetstone and press Repair; Copy diagnostics tells more.</source>
        <translation>Einstellungen &gt; Optionen &gt; Whetstone öffnen und Reparieren drücken; „Diagnose kopieren“ sagt mehr.</translation>
    </message>
    <message>
        <source>Open the demo scene</source>
        <translation>Demo-Szene öffnen</translation>
    </message>
    <message>
        <source>Overlap</source>
        <translation>Überlappung</translation>
    </message>
    <message>
        <source>PAN</source>
        <translation>PAN</translation>
    </message>
    <message>
        <source>PAN band</source>
        <translation>PAN-Kanal</translation>
    </message>
    <message>
        <source>PAN must be one band; this layer has {}.</source>
        <translation>PAN muss ein einziger Kanal sein; dieser Layer hat {}.</translation>
    </message>
    <message>
        <source>PAN to MS (P2M)</source>
        <translation>PAN nach MS (P2M)</translation>
    </message>
    <message>
        <source>PAN values</source>
        <translation>PAN-Werte</translation>
    </message>
    <message>
        <source>PSNR in decibels (higher is better)</source>
        <translation>PSNR in Dezibel (höher ist besser)</translation>
    </message>
    <message>
        <source>Panchromatic image (PAN)</source>
        <translation>Panchromatisches Bild (PAN)</translation>
    </message>
    <message>
        <source>Pansharpen (classical methods)</source>
        <translation>Pansharpening (klassische Methoden)</translation>
    </message>
    <message>
        <source>Pansharpen by CrossDiff (self-supervised diffusion)</source>
        <translation>Pansharpening mit CrossDiff (selbstüberwachte Diffusion)</translation>
    </message>
    <message>
        <source>Pansharpen by SSDiff (diffusion)</source>
        <translation>Pansharpening mit SSDiff (Diffusion)</translation>
    </message>
    <message>
        <source>Pansharpened image</source>
        <translation>Pangeschärftes Bild</translation>
    </message>
    <message>
        <source>Pansharpening is in the Processing Toolbox. Try it on a drawn scene?</source>
        <translation>Pansharpening steht in den Verarbeitungswerkzeugen. An einer gezeichneten Szene ausprobieren?</translation>
    </message>
    <message>
        <source>Precision</source>
        <translation>Genauigkeit</translation>
    </message>
    <message>
        <source>Preparation</source>
        <translation>Vorbereitung</translation>
    </message>
    <message>
        <source>Press Repair in Settings &gt; Options &gt; Whetstone; the full log is copied by Copy diagnostics.</source>
        <translation>In Einstellungen &gt; Optionen &gt; Whetstone Reparieren drücken; „Diagnose kopieren“ kopiert das ganze Protokoll.</translation>
    </message>
    <message>
        <source>Press Repair; the full log is copied by Copy diagnostics.</source>
        <translation>Reparieren drücken; „Diagnose kopieren“ kopiert das ganze Protokoll.</translation>
    </message>
    <message>
        <source>Press Update in Settings &gt; Options &gt; Whetstone.</source>
        <translation>In Einstellungen &gt; Optionen &gt; Whetstone Aktualisieren drücken.</translation>
    </message>
    <message>
        <source>Preview</source>
        <translation>Vorschau</translation>
    </message>
    <message>
        <source>Preview of…</source>
        <translation>Vorschau von …</translation>
    </message>
    <message>
        <source>Preview only</source>
        <translation>Nur Vorschau</translation>
    </message>
    <message>
        <source>Protocol</source>
        <translation>Protokoll</translation>
    </message>
    <message>
        <source>PyTorch cannot be installed here: there is no build for {}.</source>
        <translation>PyTorch kann hier nicht installiert werden: Es gibt keine Variante für {}.</translation>
    </message>
    <message>
        <source>Pyramids inside the file, so that it draws fast when zoomed out.</source>
        <translation>Pyramiden in der Datei, damit sie verkleinert schnell dargestellt wird.</translation>
    </message>
    <message>
        <source>Python of the engine</source>
        <translation>Python der Engine</translation>
    </message>
    <message>
        <source>Q2n, vector quality index (higher is better, 1 is perfect)</source>
        <translation>Q2n, vektorieller Qualitätsindex (höher ist besser, 1 ist perfekt)</translation>
    </message>
    <message>
        <source>QGIS from Flatpak, which is closed off from the system</source>
        <translation>QGIS aus Flatpak, das vom System abgeschlossen ist</translation>
    </message>
    <message>
        <source>QGIS from Snap, which is closed off from the system</source>
        <translation>QGIS aus Snap, das vom System abgeschlossen ist</translation>
    </message>
    <message>
        <source>QNR, quality without reference (higher is better, 1 is perfect)</source>
        <translation>QNR, Qualität ohne Referenz (höher ist besser, 1 ist perfekt)</translation>
    </message>
    <message>
        <source>Quality</source>
        <translation>Qualität</translation>
    </message>
    <message>
        <source>Quality report</source>
        <translation>Qualitätsbericht</translation>
    </message>
    <message>
        <source>R-ERGAS, global error at MS scale (lower is better)</source>
        <translation>R-ERGAS, Gesamtfehler im MS-Maßstab (niedriger ist besser)</translation>
    </message>
    <message>
        <source>R-Q2n, vector quality index at MS scale (higher is better)</source>
        <translation>R-Q2n, vektorieller Qualitätsindex im MS-Maßstab (höher ist besser)</translation>
    </message>
    <message>
        <source>R-SAM, spectral angle at MS scale in degrees (lower is better)</source>
        <translation>R-SAM, Spektralwinkel im MS-Maßstab in Grad (niedriger ist besser)</translation>
    </message>
    <message>
        <source>RMSE in image units (lower is better)</source>
        <translation>RMSE in Einheiten des Bildes (niedriger ist besser)</translation>
    </message>
    <message>
        <source>Ratio</source>
        <translation>Verhältnis</translation>
    </message>
    <message>
        <source>Ratio by which the pair was degraded</source>
        <translation>Verhältnis, um das das Paar vergröbert wurde</translation>
    </message>
    <message>
        <source>Ratio of MS to PAN pixel size</source>
        <translation>Verhältnis der Pixelgrößen von MS und PAN</translation>
    </message>
    <message>
        <source>Reading the scene</source>
        <translation>Szene lesen</translation>
    </message>
    <message>
        <source>Ready</source>
        <translation>Bereit</translation>
    </message>
    <message>
        <source>Ready: PyTorch {} for {}.</source>
        <translation>Bereit: PyTorch {} für {}.</translation>
    </message>
    <message>
        <source>Ready: the Python of QGIS has everything.</source>
        <translation>Bereit: Das Python von QGIS hat alles.</translation>
    </message>
    <message>
        <source>Reduced pair</source>
        <translation>Paar verringerter Auflösung</translation>
    </message>
    <message>
        <source>Reference image (ground truth)</source>
        <translation>Referenzbild (Wahrheit)</translation>
    </message>
    <message>
        <source>Refresh</source>
        <translation>Auffrischen</translation>
    </message>
    <message>
        <source>Remove</source>
        <translation>Entfernen</translation>
    </message>
    <message>
        <source>Remove the engine and free {} GB? Models stay.</source>
        <translation>Die Engine entfernen und {} GB freigeben? Modelle bleiben.</translation>
    </message>
    <message>
        <source>Removing the engine</source>
        <translation>Engine wird entfernt</translation>
    </message>
    <message>
        <source>Removing the old engine {}</source>
        <translation>Die alte Engine {} wird entfernt</translation>
    </message>
    <message>
        <source>Removing {}</source>
        <translation>{} wird entfernt</translation>
    </message>
    <message>
        <source>Repair</source>
        <translation>Reparieren</translation>
    </message>
    <message>
        <source>Repairing the engine</source>
        <translation>Engine wird repariert</translation>
    </message>
    <message>
        <source>Room</source>
        <translation>Platz</translation>
    </message>
    <message>
        <source>Run the self-test</source>
        <translation>Selbsttest ausführen</translation>
    </message>
    <message>
        <source>SAM, spectral angle in degrees (lower is better)</source>
        <translation>SAM, Spektralwinkel in Grad (niedriger ist besser)</translation>
    </message>
    <message>
        <source>SCC, spatial correlation (higher is better, 1 is perfect)</source>
        <translation>SCC, räumliche Korrelation (höher ist besser, 1 ist perfekt)</translation>
    </message>
    <message>
        <source>SSDiff checkpoint</source>
        <translation>SSDiff-Checkpoint</translation>
    </message>
    <message>
        <source>SSIM, structural similarity (higher is better, 1 is perfect)</source>
        <translation>SSIM, strukturelle Ähnlichkeit (höher ist besser, 1 ist perfekt)</translation>
    </message>
    <message>
        <source>Sample the image several times with other noise and take the mean. Takes as many times as long; two or more are needed for the uncertainty.</source>
        <translation>Das Bild mehrmals mit anderem Rauschen ziehen und mitteln. Dauert ebenso viele Male so lange; für die Unsicherheit sind zwei oder mehr nötig.</translation>
    </message>
    <message>
        <source>Samples to average</source>
        <translation>Zu mittelnde Ziehungen</translation>
    </message>
    <message>
        <source>Sampling</source>
        <translation>Stichproben ziehen</translation>
    </message>
    <message>
        <source>Sampling steps; 0 takes the number that the model was made for. More steps take longer in proportion.</source>
        <translation>Schritte des Ziehens; 0 nimmt die Zahl, für die das Modell gemacht ist. Mehr Schritte dauern entsprechend länger.</translation>
    </message>
    <message>
        <source>Save it as GeoTIFF first (Layer &gt; Save As).</source>
        <translation>Ihn zuerst als GeoTIFF speichern (Layer &gt; Speichern als).</translation>
    </message>
    <message>
        <source>Save the layer as GeoTIFF first.</source>
        <translation>Den Layer zuerst als GeoTIFF speichern.</translation>
    </message>
    <message>
        <source>Seed</source>
        <translation>Startwert</translation>
    </message>
    <message>
        <source>Self-test</source>
        <translation>Selbsttest</translation>
    </message>
    <message>
        <source>Self-test: {} good, {} failed</source>
        <translation>Selbsttest: {} gut, {} fehlgeschlagen</translation>
    </message>
    <message>
        <source>Sensor</source>
        <translation>Sensor</translation>
    </message>
    <message>
        <source>Sensors</source>
        <translation>Sensoren</translation>
    </message>
    <message>
        <source>Separate several options by |.</source>
        <translation>Mehrere Optionen durch | trennen.</translation>
    </message>
    <message>
        <source>Set WHETSTONE_MODELS to a folder of yours.</source>
        <translation>WHETSTONE_MODELS auf einen eigenen Ordner setzen.</translation>
    </message>
    <message>
        <source>Set the same for all of them in their layer properties.</source>
        <translation>In den Layereigenschaften für alle dasselbe setzen.</translation>
    </message>
    <message>
        <source>Settings &gt; Options &gt; Whetstone lists the models, gets more of them and imports yours; «Adapt a model to a scene» makes one of CrossDiff for this pair; the classical methods need none.</source>
        <translation>Einstellungen &gt; Optionen &gt; Whetstone listet die Modelle, holt weitere und importiert eigene; «Ein Modell an eine Szene anpassen» macht eines von CrossDiff für dieses Paar; die klassischen Methoden brauchen keines.</translation>
    </message>
    <message>
        <source>Share of the PAN that the MS covers (0 to 1)</source>
        <translation>Anteil des PAN, den das MS bedeckt (0 bis 1)</translation>
    </message>
    <message>
        <source>Share of the scene that was held out for validation (percent)</source>
        <translation>Anteil der Szene, der zum Prüfen zurückgehalten wurde (Prozent)</translation>
    </message>
    <message>
        <source>Sharpening</source>
        <translation>Schärfen</translation>
    </message>
    <message>
        <source>Shift</source>
        <translation>Versatz</translation>
    </message>
    <message>
        <source>Size</source>
        <translation>Größe</translation>
    </message>
    <message>
        <source>Standard deviation of the samples before any correction, per band and in units of the image: where the model is not sure. Needs two or more samples.</source>
        <translation>Standardabweichung der Ziehungen vor jeder Korrektur, je Kanal und in Einheiten des Bildes: wo das Modell nicht sicher ist. Braucht zwei oder mehr Ziehungen.</translation>
    </message>
    <message>
        <source>Start the engine and try libraries, projections and a small fusion; takes a few seconds. Without it only files are looked at.</source>
        <translation>Die Engine starten und Bibliotheken, Projektionen und eine kleine Fusion probieren; dauert einige Sekunden. Ohne ihn werden nur Dateien angesehen.</translation>
    </message>
    <message>
        <source>State in one sentence</source>
        <translation>Zustand in einem Satz</translation>
    </message>
    <message>
        <source>State in one word</source>
        <translation>Zustand in einem Wort</translation>
    </message>
    <message>
        <source>Statistics</source>
        <translation>Statistik</translation>
    </message>
    <message>
        <source>Steps</source>
        <translation>Schritte</translation>
    </message>
    <message>
        <source>Stopping…</source>
        <translation>Wird angehalten …</translation>
    </message>
    <message>
        <source>Suggested: {}. {}</source>
        <translation>Empfohlen: {}. {}</translation>
    </message>
    <message>
        <source>Summary</source>
        <translation>Zusammenfassung</translation>
    </message>
    <message>
        <source>Summary as text</source>
        <translation>Zusammenfassung als Text</translation>
    </message>
    <message>
        <source>Test</source>
        <translation>Prüfen</translation>
    </message>
    <message>
        <source>Testing the engine</source>
        <translation>Engine wird geprüft</translation>
    </message>
    <message>
        <source>The CUDA builds are made for 64-bit Intel and AMD computers.</source>
        <translation>Die CUDA-Varianten sind für 64-Bit-Rechner von Intel und AMD gemacht.</translation>
    </message>
    <message>
        <source>The MS layers have different {}.</source>
        <translation>Die MS-Layer haben verschiedene {}.</translation>
    </message>
    <message>
        <source>The certificate of {} is not trusted.</source>
        <translation>Einem Zertifikat wird nicht vertraut, dem von: {}.</translation>
    </message>
    <message>
        <source>The coarser image with the colours, in the same coordinate system as PAN. Leave it empty when you give one file per band below.</source>
        <translation>Das gröbere Bild mit den Farben, im selben Koordinatenbezugssystem wie PAN. Leer lassen, wenn unten eine Datei je Kanal angegeben wird.</translation>
    </message>
    <message>
        <source>The creation option «{}» is not of the form NAME=VALUE.</source>
        <translation>Die Erzeugungsoption „{}“ hat nicht die Form NAME=WERT.</translation>
    </message>
    <message>
        <source>The deep models can run</source>
        <translation>Die Deep-Learning-Modelle können laufen</translation>
    </message>
    <message>
        <source>The deep-learning engine is not installed.</source>
        <translation>Die Deep-Learning-Engine ist nicht installiert.</translation>
    </message>
    <message>
        <source>The disk of {} is too full: {} GB are needed, {} GB are free.</source>
        <translation>Das Laufwerk von {} ist zu voll: {} GB werden gebraucht, {} GB sind frei.</translation>
    </message>
    <message>
        <source>The engine at {} does not start: {}</source>
        <translation>Die Engine in {} startet nicht: {}</translation>
    </message>
    <message>
        <source>The engine at {} is in use: {}</source>
        <translation>Die Engine in {} ist in Gebrauch: {}</translation>
    </message>
    <message>
        <source>The engine does not start: {}.</source>
        <translation>Die Engine startet nicht: {}.</translation>
    </message>
    <message>
        <source>The engine has not answered for {:.0f} seconds.</source>
        <translation>Die Engine hat seit {:.0f} Sekunden nicht geantwortet.</translation>
    </message>
    <message>
        <source>The engine has other packages than this plugin needs.</source>
        <translation>Die Engine hat andere Pakete, als diese Erweiterung braucht.</translation>
    </message>
    <message>
        <source>The engine is at work. Wait until its jobs have ended, or cancel them.</source>
        <translation>Die Engine arbeitet. Warten, bis ihre Aufträge beendet sind, oder sie abbrechen.</translation>
    </message>
    <message>
        <source>The engine is being installed.</source>
        <translation>Die Engine wird gerade installiert.</translation>
    </message>
    <message>
        <source>The engine is installed and passed its self-test.</source>
        <translation>Die Engine ist installiert und hat ihren Selbsttest bestanden.</translation>
    </message>
    <message>
        <source>The engine is needed for this; install it above.</source>
        <translation>Hierfür wird die Engine gebraucht; sie oben installieren.</translation>
    </message>
    <message>
        <source>The engine is not installed.</source>
        <translation>Die Engine ist nicht installiert.</translation>
    </message>
    <message>
        <source>The engine is removed.</source>
        <translation>Die Engine ist entfernt.</translation>
    </message>
    <message>
        <source>The engine stopped unexpectedly ({}). QGIS is not affected.</source>
        <translation>Die Engine hat unerwartet geendet ({}). QGIS ist nicht betroffen.</translation>
    </message>
    <message>
        <source>The engine was made with PyTorch {}, this plugin needs {}.</source>
        <translation>Die Engine wurde mit PyTorch {} gemacht, diese Erweiterung braucht {}.</translation>
    </message>
    <message>
        <source>The folder for pan.tif, ms.tif and gt.tif (the truth).</source>
        <translation>Der Ordner für pan.tif, ms.tif und gt.tif (die Wahrheit).</translation>
    </message>
    <message>
        <source>The folder for the fused images, one GeoTIFF per method.</source>
        <translation>Der Ordner für die fusionierten Bilder, ein GeoTIFF je Methode.</translation>
    </message>
    <message>
        <source>The fused image itself is complete: {}</source>
        <translation>Das fusionierte Bild selbst ist vollständig: {}</translation>
    </message>
    <message>
        <source>The image to judge, on the PAN grid (or a part of it), with the bands of the MS.</source>
        <translation>Das zu beurteilende Bild, auf dem PAN-Gitter (oder einem Teil davon), mit den Kanälen des MS.</translation>
    </message>
    <message>
        <source>The installation of the engine was interrupted.</source>
        <translation>Die Installation der Engine wurde unterbrochen.</translation>
    </message>
    <message>
        <source>The layer «{}» has no image band {}.</source>
        <translation>Der Layer „{}“ hat keinen Bildkanal {}.</translation>
    </message>
    <message>
        <source>The layer «{}» is a web map.</source>
        <translation>Der Layer „{}“ ist eine Webkarte.</translation>
    </message>
    <message>
        <source>The layer «{}» is not a file (provider {}).</source>
        <translation>Der Layer „{}“ ist keine Datei (Datenanbieter {}).</translation>
    </message>
    <message>
        <source>The map does not show the layer «{}», so there is nothing to preview.</source>
        <translation>Die Karte zeigt den Layer „{}“ nicht, es gibt also nichts vorab zu zeigen.</translation>
    </message>
    <message>
        <source>The methods to compare; exp is plain interpolation, the mark every method must beat. ssdiff and crossdiff need the engine and a model.</source>
        <translation>Die zu vergleichenden Methoden; exp ist bloße Interpolation, die Marke, die jede Methode schlagen muss. ssdiff und crossdiff brauchen die Engine und ein Modell.</translation>
    </message>
    <message>
        <source>The model file is damaged or was changed: its SHA-256 is not its card's.</source>
        <translation>Die Modelldatei ist beschädigt oder wurde verändert: Ihr SHA-256 ist nicht der ihres Steckbriefs.</translation>
    </message>
    <message>
        <source>The model, with its card (.json) beside it. Give it to CrossDiff as Model file.</source>
        <translation>Das Modell, mit seinem Steckbrief (.json) daneben. CrossDiff nimmt es als Modelldatei.</translation>
    </message>
    <message>
        <source>The pair can be fused</source>
        <translation>Das Paar kann fusioniert werden</translation>
    </message>
    <message>
        <source>The pair can be fused.</source>
        <translation>Das Paar kann fusioniert werden.</translation>
    </message>
    <message>
        <source>The pair should not be fused as it is; see the notes.</source>
        <translation>Das Paar sollte so nicht fusioniert werden; siehe die Hinweise.</translation>
    </message>
    <message>
        <source>The preview failed.</source>
        <translation>Die Vorschau ist fehlgeschlagen.</translation>
    </message>
    <message>
        <source>The proxy does not let pip through to {}.</source>
        <translation>Der Proxy lässt pip nicht durch zu: {}.</translation>
    </message>
    <message>
        <source>The self-test is passed.</source>
        <translation>Der Selbsttest ist bestanden.</translation>
    </message>
    <message>
        <source>The sharp image with one grey band. The result lies on its pixel grid.</source>
        <translation>Das scharfe Bild mit einem grauen Kanal. Das Ergebnis liegt auf seinem Pixelgitter.</translation>
    </message>
    <message>
        <source>The sharpened image, a GeoTIFF on the PAN grid with the bands of the MS.</source>
        <translation>Das geschärfte Bild, ein GeoTIFF auf dem PAN-Gitter mit den Kanälen des MS.</translation>
    </message>
    <message>
        <source>The shift between PAN and MS that remains after georeferencing is always estimated and reported. Tick this to correct it; worthwhile from about half a PAN pixel.</source>
        <translation>Der Versatz zwischen PAN und MS, der nach der Georeferenzierung bleibt, wird immer geschätzt und gemeldet. Ankreuzen, um ihn zu korrigieren; lohnt sich ab etwa einem halben PAN-Pixel.</translation>
    </message>
    <message>
        <source>The true sharp image on the PAN grid, when there is one.</source>
        <translation>Das wahre scharfe Bild auf dem PAN-Gitter, wenn es eines gibt.</translation>
    </message>
    <message>
        <source>The true sharp image, when there is one: a simulated scene, or the original MS when PAN and MS were degraded before (Make a reduced-resolution pair).</source>
        <translation>Das wahre scharfe Bild, wenn es eines gibt: eine simulierte Szene oder das ursprüngliche MS, wenn PAN und MS zuvor vergröbert wurden (Ein Paar verringerter Auflösung erstellen).</translation>
    </message>
    <message>
        <source>The uncertainty is the deviation of several samples; there is one.</source>
        <translation>Die Unsicherheit ist die Abweichung mehrerer Stichproben; es gibt nur eine.</translation>
    </message>
    <message>
        <source>There are no models on this machine yet; see Settings &gt; Options &gt; Whetstone.</source>
        <translation>Auf diesem Rechner gibt es noch keine Modelle; siehe Einstellungen &gt; Optionen &gt; Whetstone.</translation>
    </message>
    <message>
        <source>There is a model of that name already.</source>
        <translation>Ein Modell dieses Namens gibt es schon.</translation>
    </message>
    <message>
        <source>There is no Python at {}.</source>
        <translation>In {} ist kein Python.</translation>
    </message>
    <message>
        <source>There is no build of {} for this system and Python, where pip looks.</source>
        <translation>Für dieses System und Python gibt es keine Variante von {}, wo pip sucht.</translation>
    </message>
    <message>
        <source>There is no file {}</source>
        <translation>Die Datei {} gibt es nicht</translation>
    </message>
    <message>
        <source>This is a fault of Whetstone; please report it.</source>
        <translation>Das ist ein Fehler von Whetstone; bitte melden.</translation>
    </message>
    <message>
        <source>Training steps</source>
        <translation>Trainingsschritte</translation>
    </message>
    <message>
        <source>Try again when that has ended.</source>
        <translation>Noch einmal versuchen, wenn das beendet ist.</translation>
    </message>
    <message>
        <source>Try again; if it stays so, do not trust this network.</source>
        <translation>Noch einmal versuchen; wenn es so bleibt, diesem Netz nicht trauen.</translation>
    </message>
    <message>
        <source>Type of the output values; same keeps that of the MS. Values are rounded and clipped.</source>
        <translation>Typ der Ausgabewerte; same behält den des MS. Werte werden gerundet und begrenzt.</translation>
    </message>
    <message>
        <source>Uncertainty</source>
        <translation>Unsicherheit</translation>
    </message>
    <message>
        <source>Update</source>
        <translation>Aktualisieren</translation>
    </message>
    <message>
        <source>Updating the engine</source>
        <translation>Engine wird aktualisiert</translation>
    </message>
    <message>
        <source>Use an external engine (the path to a Python with PyTorch) or a classical method.</source>
        <translation>Eine externe Engine (den Pfad zu einem Python mit PyTorch) oder eine klassische Methode verwenden.</translation>
    </message>
    <message>
        <source>Values clipped to the range of the data type</source>
        <translation>Auf den Bereich des Datentyps begrenzte Werte</translation>
    </message>
    <message>
        <source>Verdict in words</source>
        <translation>Urteil in Worten</translation>
    </message>
    <message>
        <source>Version of {}</source>
        <translation>Version von {}</translation>
    </message>
    <message>
        <source>Versions, state and log as Markdown, without private data</source>
        <translation>Versionen, Zustand und Protokoll als Markdown, ohne private Daten</translation>
    </message>
    <message>
        <source>Wait until running jobs have ended, close other QGIS windows, then try again.</source>
        <translation>Warten, bis laufende Aufträge beendet sind, andere QGIS-Fenster schließen, dann noch einmal versuchen.</translation>
    </message>
    <message>
        <source>Wait until that has ended, or half a minute, then try again.</source>
        <translation>Warten, bis das beendet ist, oder eine halbe Minute, dann noch einmal versuchen.</translation>
    </message>
    <message>
        <source>Wald protocol degrade downsample MTF ground truth reference training validation</source>
        <translation>Wald-Protokoll vergröbern herunterskalieren MTF Wahrheit Referenz Training Validierung</translation>
    </message>
    <message>
        <source>Warning: layer «{}»: {}.</source>
        <translation>Warnung: Layer „{}“: {}.</translation>
    </message>
    <message>
        <source>Web map layers carry pictures, not measurements. Save as GeoTIFF or use the original bands.</source>
        <translation>Webkarten enthalten Bilder, keine Messwerte. Als GeoTIFF speichern oder die ursprünglichen Kanäle verwenden.</translation>
    </message>
    <message>
        <source>What</source>
        <translation>Was</translation>
    </message>
    <message>
        <source>What the encoders are given beside the image. auto is zero for one sample and fixed for several; random draws a new seed, which the file remembers.</source>
        <translation>Was die Encoder neben dem Bild erhalten. auto ist zero bei einer Ziehung und fixed bei mehreren; random zieht einen neuen Startwert, den die Datei sich merkt.</translation>
    </message>
    <message>
        <source>What the training images were divided by</source>
        <translation>Wodurch die Trainingsbilder geteilt wurden</translation>
    </message>
    <message>
        <source>What to compute in. auto takes bf16 where the device is faster with it and the image stays the same to 60 dB, and fp32 otherwise.</source>
        <translation>Worin gerechnet wird. auto nimmt bf16, wo das Gerät damit schneller ist und das Bild auf 60 dB dasselbe bleibt, sonst fp32.</translation>
    </message>
    <message>
        <source>What to learn from</source>
        <translation>Woraus gelernt wird</translation>
    </message>
    <message>
        <source>Where the statistics of norms and gates come from: the scene (no seams), each window, or auto, as the model says.</source>
        <translation>Woher die Statistik der Normen und Tore kommt: aus der Szene (keine Nähte), aus jedem Fenster, oder auto, wie es das Modell sagt.</translation>
    </message>
    <message>
        <source>Whetstone</source>
        <translation>Whetstone</translation>
    </message>
    <message>
        <source>Whetstone pansharpening</source>
        <translation>Whetstone-Pansharpening</translation>
    </message>
    <message>
        <source>Whetstone: preview the sharpened image of what the map shows</source>
        <translation>Whetstone: Vorschau des geschärften Bildes von dem, was die Karte zeigt</translation>
    </message>
    <message>
        <source>Which band of the PAN layer to use, when it has several.</source>
        <translation>Welcher Kanal des PAN-Layers verwendet wird, wenn er mehrere hat.</translation>
    </message>
    <message>
        <source>Which bands of the MS image to use; all when nothing is chosen.</source>
        <translation>Welche Kanäle des MS-Bildes verwendet werden; alle, wenn nichts gewählt ist.</translation>
    </message>
    <message>
        <source>Which of the fused images to add to the project afterwards.</source>
        <translation>Welche der fusionierten Bilder danach dem Projekt hinzugefügt werden.</translation>
    </message>
    <message>
        <source>Whose optical blur (MTF) and band order to assume. With auto the engine guesses from band count, names and tags, and the log says what it took: {}.</source>
        <translation>Wessen optische Unschärfe (MTF) und Reihenfolge der Kanäle angenommen wird. Bei auto schließt die Engine aus Zahl der Kanäle, Namen und Tags, und das Protokoll sagt, was sie annahm: {}.</translation>
    </message>
    <message>
        <source>Why training ended</source>
        <translation>Warum das Training endete</translation>
    </message>
    <message>
        <source>Windows cannot load PyTorch: {}</source>
        <translation>Windows kann PyTorch nicht laden: {}</translation>
    </message>
    <message>
        <source>Write an HTML report with figures, crops and histograms (implies Assess).</source>
        <translation>Einen HTML-Bericht mit Kennzahlen, Ausschnitten und Histogrammen schreiben (schließt das Bewerten ein).</translation>
    </message>
    <message>
        <source>Write the cards of all models there, one object per model.</source>
        <translation>Die Steckbriefe aller Modelle dorthin schreiben, ein Objekt je Modell.</translation>
    </message>
    <message>
        <source>Your models are in {}</source>
        <translation>Eigene Modelle liegen in {}</translation>
    </message>
    <message>
        <source>Your own Python</source>
        <translation>Eigenes Python</translation>
    </message>
    <message>
        <source>Your own Python is used: {}</source>
        <translation>Das eigene Python wird verwendet: {}</translation>
    </message>
    <message>
        <source>Zoom to the layer, or give an extent.</source>
        <translation>Auf den Layer zoomen oder eine Ausdehnung angeben.</translation>
    </message>
    <message>
        <source>a package</source>
        <translation>ein Paket</translation>
    </message>
    <message>
        <source>about {:.1f} h</source>
        <translation>etwa {:.1f} h</translation>
    </message>
    <message>
        <source>about {} min</source>
        <translation>etwa {} min</translation>
    </message>
    <message>
        <source>about {} s</source>
        <translation>etwa {} s</translation>
    </message>
    <message>
        <source>any</source>
        <translation>beliebig</translation>
    </message>
    <message>
        <source>auto chooses by sensor, bands and ratio among the models of this machine, and the log says which one and why. Models are listed in Settings &gt; Options &gt; Whetstone.</source>
        <translation>auto wählt nach Sensor, Kanälen und Verhältnis unter den Modellen dieses Rechners, und das Protokoll sagt, welches und warum. Die Modelle stehen in Einstellungen &gt; Optionen &gt; Whetstone.</translation>
    </message>
    <message>
        <source>auto takes the graphics card where there is one that the engine can use, and the CPU otherwise. cuda:1 is the second card.</source>
        <translation>auto nimmt die Grafikkarte, wo es eine gibt, die die Engine nutzen kann, sonst die CPU. cuda:1 ist die zweite Karte.</translation>
    </message>
    <message>
        <source>cannot be started ({})</source>
        <translation>kann nicht gestartet werden ({})</translation>
    </message>
    <message>
        <source>coordinate reference systems</source>
        <translation>Koordinatenbezugssysteme</translation>
    </message>
    <message>
        <source>coregistration shift misregistration overlap ratio radiometry dry run validate</source>
        <translation>Koregistrierung Versatz Lagefehler Überlappung Verhältnis Radiometrie Probelauf prüfen</translation>
    </message>
    <message>
        <source>does not answer</source>
        <translation>antwortet nicht</translation>
    </message>
    <message>
        <source>empty: the engine above</source>
        <translation>leer: die Engine oben</translation>
    </message>
    <message>
        <source>fuse Brovey Gram-Schmidt GramSchmidt GSA GIHS IHS PCA HPF SFIM BDSD PRACS MTF-GLP AWLP ATWT BT-H TV wavelet component substitution multiresolution</source>
        <translation>fusionieren Brovey Gram-Schmidt GramSchmidt GSA GIHS IHS PCA HPF SFIM BDSD PRACS MTF-GLP AWLP ATWT BT-H TV Wavelet Komponentensubstitution Multiskalen</translation>
    </message>
    <message>
        <source>fuse deep learning neural network AI diffusion model CrossDiff torch GPU CUDA</source>
        <translation>fusionieren Deep Learning neuronales Netz KI Diffusionsmodell CrossDiff torch GPU CUDA</translation>
    </message>
    <message>
        <source>fuse deep learning neural network AI diffusion model SSDiff torch GPU CUDA</source>
        <translation>fusionieren Deep Learning neuronales Netz KI Diffusionsmodell SSDiff torch GPU CUDA</translation>
    </message>
    <message>
        <source>good</source>
        <translation>gut</translation>
    </message>
    <message>
        <source>gtiff writes a tiled, compressed GeoTIFF; cog a Cloud-Optimized GeoTIFF.</source>
        <translation>gtiff schreibt ein gekacheltes, komprimiertes GeoTIFF; cog ein Cloud-Optimized GeoTIFF.</translation>
    </message>
    <message>
        <source>install torch PyTorch CUDA GPU self-test diagnostics version device</source>
        <translation>installieren torch PyTorch CUDA GPU Selbsttest Diagnose Version Gerät</translation>
    </message>
    <message>
        <source>it ended with status {}</source>
        <translation>sie endete mit dem Status {}</translation>
    </message>
    <message>
        <source>its Python is gone.</source>
        <translation>ihr Python ist verschwunden.</translation>
    </message>
    <message>
        <source>lacks ssl or zlib, so that pip cannot download</source>
        <translation>ohne ssl oder zlib, sodass pip nichts herunterladen kann</translation>
    </message>
    <message>
        <source>lacks venv or ensurepip (on Debian and Ubuntu: the package python3-venv)</source>
        <translation>ohne venv oder ensurepip (bei Debian und Ubuntu: das Paket python3-venv)</translation>
    </message>
    <message>
        <source>most often because memory ran out</source>
        <translation>meistens, weil der Arbeitsspeicher nicht reichte</translation>
    </message>
    <message>
        <source>no message</source>
        <translation>keine Meldung</translation>
    </message>
    <message>
        <source>no method among those takes one</source>
        <translation>keine der gewählten Methoden verwendet eines</translation>
    </message>
    <message>
        <source>nodata ranges or several values are not used</source>
        <translation>NoData-Bereiche oder mehrere Werte werden nicht verwendet</translation>
    </message>
    <message>
        <source>nodata values</source>
        <translation>NoData-Werte</translation>
    </message>
    <message>
        <source>not estimated</source>
        <translation>nicht geschätzt</translation>
    </message>
    <message>
        <source>not stated</source>
        <translation>nicht angegeben</translation>
    </message>
    <message>
        <source>one is to be adapted</source>
        <translation>eines soll angepasst werden</translation>
    </message>
    <message>
        <source>only {} is used as nodata</source>
        <translation>nur {} wird als NoData verwendet</translation>
    </message>
    <message>
        <source>pip stopped with status {}: {}</source>
        <translation>pip endete mit dem Status {}: {}</translation>
    </message>
    <message>
        <source>plugin</source>
        <translation>Erweiterung</translation>
    </message>
    <message>
        <source>product does what is right for a real image. toolbox does literally what published tables were made with: array phase, their border rules, no clipping, double precision.</source>
        <translation>product tut, was für ein wirkliches Bild richtig ist. toolbox tut genau das, womit veröffentlichte Tabellen entstanden: Phase der Matrizen, deren Randregeln, keine Begrenzung, doppelte Genauigkeit.</translation>
    </message>
    <message>
        <source>pyvenv.cfg is gone.</source>
        <translation>pyvenv.cfg ist verschwunden.</translation>
    </message>
    <message>
        <source>quality figures metrics QNR HQNR SAM ERGAS Q2n Q4 Q8 SCC PSNR SSIM report accuracy</source>
        <translation>Qualität Maßzahlen Metriken QNR HQNR SAM ERGAS Q2n Q4 Q8 SCC PSNR SSIM Bericht Genauigkeit</translation>
    </message>
    <message>
        <source>quality ranking best method benchmark Brovey Gram-Schmidt GSA MTF-GLP report</source>
        <translation>Qualität Rangliste beste Methode Vergleich Brovey Gram-Schmidt GSA MTF-GLP Bericht</translation>
    </message>
    <message>
        <source>reduced learns on the degraded scene, where the MS itself is the truth; full learns also at the resolution of the scene, and keeps the colours there better.</source>
        <translation>reduced lernt an der vergröberten Szene, wo das MS selbst die Wahrheit ist; full lernt auch bei der Auflösung der Szene und hält die Farben dort besser.</translation>
    </message>
    <message>
        <source>signal {} {}</source>
        <translation>Signal {} {}</translation>
    </message>
    <message>
        <source>status {}</source>
        <translation>Status {}</translation>
    </message>
    <message>
        <source>the Python it was made from is gone.</source>
        <translation>das Python, aus dem sie gemacht wurde, ist verschwunden.</translation>
    </message>
    <message>
        <source>the file's nodata value is used all the same</source>
        <translation>der NoData-Wert der Datei wird trotzdem verwendet</translation>
    </message>
    <message>
        <source>the package index</source>
        <translation>das Paketverzeichnis</translation>
    </message>
    <message>
        <source>the package {} is gone.</source>
        <translation>das Paket {} ist verschwunden.</translation>
    </message>
    <message>
        <source>the self-test failed</source>
        <translation>der Selbsttest ist fehlgeschlagen</translation>
    </message>
    <message>
        <source>there is none</source>
        <translation>keines</translation>
    </message>
    <message>
        <source>too new, PyTorch has no build for it yet</source>
        <translation>zu neu, PyTorch hat noch keine Variante dafür</translation>
    </message>
    <message>
        <source>too old, {}.{} or newer is needed</source>
        <translation>zu alt, {}.{} oder neuer ist nötig</translation>
    </message>
    <message>
        <source>train fine-tune self-supervised own sensor deep learning CrossDiff model</source>
        <translation>trainieren feinabstimmen selbstüberwacht eigener Sensor Deep Learning CrossDiff Modell</translation>
    </message>
    <message>
        <source>weights checkpoints list cards scores licence SSDiff CrossDiff</source>
        <translation>Gewichte Checkpoints Liste Karten Werte Lizenz SSDiff CrossDiff</translation>
    </message>
    <message>
        <source>your folder</source>
        <translation>eigener Ordner</translation>
    </message>
    <message>
        <source>{:.2f}, {:.2f} PAN pixels (confidence {})</source>
        <translation>{:.2f}, {:.2f} PAN-Pixel (Sicherheit {})</translation>
    </message>
    <message>
        <source>{:g} to {:g}</source>
        <translation>{:g} bis {:g}</translation>
    </message>
    <message>
        <source>{} (preview)</source>
        <translation>{} (Vorschau)</translation>
    </message>
    <message>
        <source>{} GB to download, {} GB on disk; {} GB are free</source>
        <translation>{} GB herunterzuladen, {} GB auf dem Laufwerk; {} GB sind frei</translation>
    </message>
    <message>
        <source>{} cannot be reached.</source>
        <translation>{} ist nicht erreichbar.</translation>
    </message>
    <message>
        <source>{} cannot be written: {}</source>
        <translation>{} kann nicht geschrieben werden: {}</translation>
    </message>
    <message>
        <source>{} cannot be written: {}.</source>
        <translation>{} kann nicht geschrieben werden: {}.</translation>
    </message>
    <message>
        <source>{} has compute capability {}, PyTorch needs {}.</source>
        <translation>{} hat Compute Capability {}, PyTorch braucht {}.</translation>
    </message>
    <message>
        <source>{} is a model of {}, not of {}.</source>
        <translation>{} ist ein Modell für {}, nicht für {}.</translation>
    </message>
    <message>
        <source>{} is downloaded.</source>
        <translation>{} ist heruntergeladen.</translation>
    </message>
    <message>
        <source>{} is imported.</source>
        <translation>{} ist importiert.</translation>
    </message>
    <message>
        <source>{} uncertainty</source>
        <translation>{} Unsicherheit</translation>
    </message>
    <message>
        <source>{} with driver {} runs it.</source>
        <translation>{} kann es mit Treiber {}.</translation>
    </message>
    <message>
        <source>{}, correlation with PAN {:.2f}</source>
        <translation>{}, Korrelation mit PAN {:.2f}</translation>
    </message>
    <message>
        <source>{}, not CPython</source>
        <translation>{}, nicht CPython</translation>
    </message>
    <message>
        <source>{}, {} left</source>
        <translation>{}, noch {}</translation>
    </message>
    <message>
        <source>{}: driver {} is older than {}; with a newer one, CUDA can be used.</source>
        <translation>{}: Treiber {} ist älter als {}; mit einem neueren lässt sich CUDA nutzen.</translation>
    </message>
    <message>
        <source>{}: {}, {} bands at ratio {:g}, sensors {}</source>
        <translation>{}: {}, {} Kanäle beim Verhältnis {:g}, Sensoren {}</translation>
    </message>
</context>
</TS>
